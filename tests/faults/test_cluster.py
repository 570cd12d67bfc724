"""A node of a cluster and the leading scheduler are killed: the short form of `make cluster`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.nodes import INSTALLED
from tests.faults.cluster import table
from tests.faults.gaps import Gap, gaps, longest_call
from tests.faults.ledger import Line
from tests.faults.nodes import Outcome, run
from tests.faults.verdict import Verdict


@pytest.mark.slow
async def test_a_node_and_a_scheduler_are_killed_under_load(tmp_path: Path) -> None:
    if INSTALLED["nats"]() is None:
        pytest.skip("nats-server is not installed: make nats")
    outcome = await run("nats", tmp_path, print, short=True)
    outcome.verdict.assert_sound()
    assert not outcome.hung, f"a dispatch took {outcome.longest_call:.1f} s"
    assert [gap.fault for gap in outcome.gaps] == ["broker node C kill -9", "scheduler kill -9"]


def _sent(at: float, confirm: str = "stored") -> Line:
    return {"event": "sent", "at": at, "confirm": confirm, "key": str(at)}


def test_a_gap_begins_before_its_fault_and_ends_with_the_next_acknowledgement() -> None:
    lines = [_sent(at) for at in (0.0, 1.0, 1.1, 1.6, 1.7, 2.0, 2.9, 3.0)]
    lines += [_sent(1.3, "broker"), {"event": "fault", "kind": "a", "at": 1.2}]
    lines.append({"event": "fault", "kind": "b", "at": 2.5})
    assert [(gap.fault, round(gap.seconds, 1)) for gap in gaps(lines)] == [("a", 0.5), ("b", 0.9)]


def test_the_longest_dispatch_is_found_also_where_it_raised_or_never_ended() -> None:
    def line(event: str, at: float, key: str = "x") -> Line:
        return {"event": event, "at": at, "key": key}

    lines = [line("sending", 1.0), line("refused", 4.0), line("sending", 4.0), line("sent", 5.0)]
    assert longest_call(lines) == 3.0
    never = longest_call([*lines, line("sending", 6.0, "y")])
    assert never == -1.0
    assert Outcome("nats", Verdict(), [], never).hung
    assert Outcome("nats", Verdict(), [], 12.1).hung
    assert not Outcome("nats", Verdict(), [], 9.9).hung


def test_the_table_names_each_fault_and_cause() -> None:
    verdict = Verdict(sent={"a", "b"}, doubled={"a": "its worker died"})
    shown = table([Outcome("nats", verdict, [Gap("scheduler kill -9", 1.234)], 2.0)])
    assert "| - scheduler kill -9 | 1.23 s |" in shown
    assert "| **lost** | **0** |" in shown
    assert "| - its worker died | 1 |" in shown
