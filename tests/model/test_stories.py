"""What becomes of a job in the stories of `tests.model.stories`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.cluster.process import ROOT

GAVE_UP = "gave up on an outcome, the job runs again"


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, Any]]:
    """Every story, told once."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.model.stories"],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return {one["story"]: one for one in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("confirm", ["plain", "stored"])
def test_a_worker_that_is_told_to_stop_waits_for_its_broker(
    told: dict[str, dict[str, Any]], confirm: str
) -> None:
    story = told[f"{confirm}, short outage"]
    assert (story["good"], story["runs"], story["said"]) == (True, 1, []), story


@pytest.mark.parametrize("confirm", ["plain", "stored"])
def test_it_gives_up_loudly_when_its_time_is_over(
    told: dict[str, dict[str, Any]], confirm: str
) -> None:
    story = told[f"{confirm}, long outage"]
    assert story["good"], story
    [line] = story["said"]
    assert line.startswith(GAVE_UP)


def test_a_power_cut_takes_no_room_from_the_workers_that_come_next(
    told: dict[str, dict[str, Any]],
) -> None:
    """A released row has nobody, and nobody knows that yet: the next job does not wait for it."""
    story = told["power cut"]
    assert story["good"], story
    [_, second, _] = [line for line in story["trace"] if " starts " in line]
    assert float(second.split()[0]) == 5.0, story
