"""What the judge excuses: a killed mosquitto forgets what came since its last save, no more."""

from __future__ import annotations

import pytest

from tests.faults.ledger import Line
from tests.faults.verdict import (
    DIED,
    FORCED,
    FORGETFUL,
    GAVE_UP,
    ROLLED_BACK,
    TWO_DATABASES,
    judge,
)

KILL = {"event": "fault", "kind": FORGETFUL, "victims": [], "at": 100.0}


def story(*, ended: float, again: float, confirm: str = "broker") -> list[Line]:
    def line(event: str, at: float, **more: object) -> Line:
        return {"event": event, "key": "k", "at": at, "pid": 1, "confirm": confirm} | more

    return [
        line("sending", ended - 2.0),
        line("sent", ended - 1.9, cut=False, id="the job"),
        line("start", ended - 1.0),
        line("end", ended),
        line("start", again, pid=2),
        line("end", again + 1.0, pid=2),
    ]


def cause(lines: list[Line], *faults: Line) -> str | None:
    verdict = judge([*lines, *faults])
    assert list(verdict.doubled) == ["k"]
    return verdict.doubled["k"]


@pytest.mark.parametrize(
    ("ended", "again", "faults", "excused"),
    [
        (95.0, 101.0, [("broker SIGTERM", 50.0), (FORGETFUL, 100.0)], True),
        (80.0, 101.0, [("broker SIGTERM", 50.0), (FORGETFUL, 100.0)], False),
        (95.0, 99.0, [("broker SIGTERM", 50.0), (FORGETFUL, 100.0)], False),
        (95.0, 101.0, [("broker SIGTERM", 97.0), (FORGETFUL, 100.0)], False),
        (80.0, 101.0, [(FORGETFUL, 95.0), (FORGETFUL, 100.0)], True),
        (60.0, 101.0, [("broker SIGTERM", 30.0), (FORGETFUL, 95.0), (FORGETFUL, 100.0)], False),
    ],
    ids=["since the save", "before it", "before the kill", "saved politely", "killed before it "
         "saved", "saved before two kills"],
)  # fmt: skip
def test_a_double_after_a_kill_of_mosquitto(
    ended: float, again: float, faults: list[tuple[str, float]], excused: bool
) -> None:
    lines = [KILL | {"kind": kind, "at": at} for kind, at in faults]
    assert cause(story(ended=ended, again=again), *lines) == (ROLLED_BACK if excused else None)


def test_a_stored_job_has_no_such_excuse() -> None:
    lines = story(ended=95.0, again=101.0, confirm="stored")
    assert cause(lines, KILL) is None


@pytest.mark.parametrize(
    ("pid", "jobs", "excused"),
    [(1, ["another", "the job"], True), (1, ["another"], False), (2, ["the job"], False)],
    ids=["its outcome", "of another job", "of another worker"],
)
def test_a_double_after_a_worker_gave_up(pid: int, jobs: list[str], excused: bool) -> None:
    gave_up = {"event": "fault", "kind": GAVE_UP, "victims": [pid], "jobs": jobs, "at": 130.0}
    lines = story(ended=95.0, again=131.0, confirm="stored")
    assert cause(lines, gave_up) == (DIED if excused else None)


@pytest.mark.parametrize(("left", "excused"), [(94.5, True), (93.5, False)])
def test_a_double_while_two_schedulers_ran(left: float, *, excused: bool) -> None:
    """Only what had started before one of them left."""
    forced = {"event": "fault", "kind": FORCED, "victims": [], "at": left}
    lines = story(ended=95.0, again=95.1, confirm="stored")
    assert cause(lines, forced) == (TWO_DATABASES if excused else None)
