"""What became of a job, told by runs of the model whose plan is written by hand."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.model.plan import Fault
from tests.model.stories import let_go, plan, sending
from tests.model.world import run_world

__all__ = ["let_go"]

GAVE_UP = "gave up on an outcome, the job runs again"


def outage(lasts: float) -> list[Fault]:
    """The broker goes while the job runs; its worker is told to stop before it is back."""
    return [Fault(2.0, "restart broker", 1, lasts), Fault(4.0, "stop worker", 1, 0.0)]


@pytest.mark.parametrize("confirm", ["broker", "stored"])
def test_a_worker_that_is_told_to_stop_waits_for_its_broker(tmp_path: Path, confirm: str) -> None:
    verdict = run_world(1, plan(sending(1.0, confirm=confirm), faults=outage(20.0)), tmp_path)
    assert (verdict.good, verdict.runs) == (True, 1), verdict


@pytest.mark.parametrize("confirm", ["broker", "stored"])
def test_it_gives_up_loudly_when_its_time_is_over(
    tmp_path: Path, confirm: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        verdict = run_world(1, plan(sending(1.0, confirm=confirm), faults=outage(60.0)), tmp_path)
    assert verdict.good, verdict
    assert sum(record.message.startswith(GAVE_UP) for record in caplog.records) == 1


def test_a_power_cut_takes_no_room_from_the_workers_that_come_next(tmp_path: Path) -> None:
    """Rows whose holder is dead, and not yet known to be: jobs that come later do not wait."""
    cut = [Fault(0.5, f"kill {what}", 1, 0.5) for what in ("broker", "worker", "scheduler")]
    verdict = run_world(1, plan(sending(0.2, seconds=9.0), sending(5.0), faults=cut), tmp_path)
    assert verdict.good, verdict
    starts = [line for line in verdict.trace if " starts " in line]
    assert len(starts) >= 3, verdict.trace
    assert float(starts[1].split()[0]) == 5.0, starts
