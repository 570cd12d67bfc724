"""What `python -m benchmarks.takeover` makes of a ledger."""

from __future__ import annotations

from benchmarks.takeover import gaps
from tests.faults.ledger import Line


def line(event: str, at: float) -> Line:
    return {"event": event, "at": at}


def test_the_gap_of_a_kill_begins_before_it_and_ends_with_the_next_acknowledgement() -> None:
    sent = [line("sent", at) for at in (0.0, 1.0, 1.1, 1.6, 1.7, 2.0, 2.9, 3.0)]
    kills = [line("fault", 1.2), line("fault", 2.5)]
    assert [round(gap, 1) for gap in gaps([*sent, *kills])] == [0.5, 0.9]
