"""The model in short; ``python -m tests.model --runs 10000`` is the long form."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.cluster.process import ROOT

FOUND = (
    15,
    41,
    84,
    91,
    105,
    132,
    170,
    171,
    189,
    193,
    200,
    215,
    255,
    540,
    990,
    1075,
    1397,
    1551,
    2036,
    2952,
    3141,
    3662,
    9025,
    25744,
    820369,
)
"""Seeds that have found something: each is run for good."""


def model(*arguments: str) -> str:
    return python("-m", "tests.model", *arguments)


def python(*arguments: str) -> str:
    """In a process of its own, where sets of texts are walked in the same order each time."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-4_000:]
    return done.stdout


def test_no_job_is_lost_in_a_few_runs() -> None:
    assert "bad=0" in model("--runs", "12", "--seed", "1000")


@pytest.mark.slow
def test_no_job_is_lost_in_100_runs() -> None:
    assert "bad=0" in model("--runs", "100", "--seed", "0", "--processes", "2")


@pytest.mark.slow
@pytest.mark.parametrize("seed", FOUND)
def test_what_a_seed_has_found_stays_mended(seed: int) -> None:
    assert "bad=0" in model("--runs", "1", "--seed", str(seed), "--still")


@pytest.mark.slow
def test_a_seed_does_the_same_again() -> None:
    first, again = (model("--runs", "10", "--seed", "500") for _ in range(2))
    digests = re.findall(r"digest=(\w+)", first)
    assert digests
    assert digests == re.findall(r"digest=(\w+)", again)


@pytest.mark.slow
def test_a_seed_does_the_same_behind_another_one() -> None:
    program = (
        "from tests.model.__main__ import run_seed;"
        "first = run_seed(501).digest; run_seed(500); print(first == run_seed(501).digest)"
    )
    assert python("-c", program) == "True\n"


def test_no_job_is_lost_in_a_few_runs_where_the_scheduler_deals() -> None:
    assert "bad=0" in model("--runs", "6", "--seed", "1000", "--sharing", "scheduler")
