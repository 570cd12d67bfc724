"""A worker's open files."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cluster.process import ROOT

PROGRAM = """
import resource, sys
from routeq_mqtt.worker.files import allow_files
resource.setrlimit(resource.RLIMIT_NOFILE, (256, int(sys.argv[1])))
allow_files(1_000)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def with_hard_limit(files: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(files)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limit")
def test_the_soft_limit_is_raised_to_what_the_queues_need() -> None:
    done = with_hard_limit(4_096)
    assert done.returncode == 0, done.stderr
    assert 1_064 <= int(done.stdout) < 1_200


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limit")
def test_a_hard_limit_that_is_too_low_is_named_with_what_to_set() -> None:
    done = with_hard_limit(1_024)
    assert done.returncode != 0
    assert "ConfigurationError: a worker with 1000 queues needs" in done.stderr
    assert "the limit is 1024: raise it (ulimit -n " in done.stderr
