"""The examples in docs/features and the ported programs print what their pages say."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.process import ROOT, Process

DOCS = ROOT / "docs"
PAGES = sorted([*(DOCS / "features").glob("*.md"), *DOCS.glob("from-*.md")])
_FILE = re.compile(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OUTPUT = re.compile(r"^It prints:\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_QUEUES = re.compile(r'queue ?= ?"([\w-]+)"')
_FLAGS = re.compile(r"^Flags of the worker of this page: `(.*?)`$", re.MULTILINE)


def unpack(page: Path, folder: Path) -> tuple[dict[str, str], str, list[str]]:
    """Write the files of a page; what they say, what the example prints, the worker's flags."""
    text = page.read_text()
    files = dict(_FILE.findall(text))
    for name, code in files.items():
        (folder / name).write_text(code)
    found = _OUTPUT.search(text)
    assert found is not None, f"{page} does not say what its example prints"
    flags = _FLAGS.search(text)
    return files, found.group(1).rstrip(), flags.group(1).split() if flags is not None else []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_the_example_of_a_page_prints_what_the_page_says(
    cluster: Cluster, page: Path, tmp_path: Path
) -> None:
    files, printed, flags = unpack(page, tmp_path)
    env = cluster.env | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT), str(ROOT / "broker")])
    }
    await cluster.scheduler(**env)
    queues = {"default", *_QUEUES.findall(files["jobs.py"])}
    worker = await Process.cli(
        "worker", "worker", "--queue", ",".join(sorted(queues)), "--app", "jobs", *flags, env=env
    )
    cluster.processes.append(worker)
    await worker.says("online")
    example = await Process.start("example", sys.executable, str(tmp_path / "example.py"), env=env)
    assert await example.ended() == 0, example.output
    assert example.output == printed, worker.output
