"""Compares promises with runs: what is lost, what ran twice, and why."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.faults.ledger import Line

DIED = "its worker died or was cut off while it ran"
ROLLED_BACK = "its broker was killed, and came back with an older state"
RESENT = "its sender lost the connection before the answer, and sent again"
TWO_DATABASES = "two schedulers by force both took it in"
UNCOMMITTED = "its broker was killed before it had written down who had it"

JOURNALED = "broker kill -9"
"""Kind of fault: the embedded broker keeps what it has acknowledged."""

GAVE_UP = "worker SIGTERM, outcomes given up"
"""Kind of fault: a worker had to leave before anybody took its outcomes; `jobs` are their ids."""

FORCED = "the loser of two schedulers by force left"
"""Kind of fault: until then two databases took jobs in, and neither knew the other's."""

FORGETFUL = "broker kill -9 without a journal"
"""Kind of fault: mosquitto forgets what came since its last snapshot."""


@dataclass(slots=True)
class Verdict:
    """The comparison of promises with runs.

    Attributes:
        sent: keys of dispatches that returned.
        lost: sent, and neither done nor failed.
        unpromised: the same, but only a broker without a journal held them when it was killed.
        doubled: done or failed more than once, or started more often than its tries say, with the
            cause; None: no cause is known, which is a bug.
        stories: all lines of what doubled, by key.
        recovery: seconds from a worker's kill -9 to the next start of each job that it ran, while
            nothing else was wrong or had been shortly before.
        disturbed: the same among other faults: no scheduler was there, say, or no broker.
    """

    sent: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    unpromised: set[str] = field(default_factory=set)
    doubled: dict[str, str | None] = field(default_factory=dict)
    stories: dict[str, list[Line]] = field(default_factory=dict)
    recovery: list[float] = field(default_factory=list)
    disturbed: list[float] = field(default_factory=list)

    @property
    def unexplained(self) -> list[str]:
        """Doubled, and nobody knows why."""
        return [key for key, cause in self.doubled.items() if cause is None]

    @property
    def causes(self) -> Counter[str]:
        """How often which cause."""
        return Counter(cause or "unknown" for cause in self.doubled.values())

    def assert_sound(self) -> None:
        """Nothing lost, nothing doubled without one of the two causes."""
        assert not self.lost, f"lost {len(self.lost)}: {sorted(self.lost)[:10]}"
        stories = [line for key in self.unexplained[:3] for line in self.stories[key]]
        told = "\n".join(map(str, stories))
        assert not self.unexplained, f"doubled: {self.unexplained[:10]}; the first ones:\n{told}"


def judge(lines: list[Line]) -> Verdict:
    """Read a ledger."""
    verdict = Verdict()
    by_key: dict[str, list[Line]] = defaultdict(list)
    faults: list[Line] = []
    for line in lines:
        if "key" in line:
            by_key[line["key"]].append(line)
        elif line["event"] == "fault":
            faults.append(line)
    for key, story in by_key.items():
        _judge_one(key, story, faults, verdict)
    return verdict


def _judge_one(key: str, story: list[Line], faults: list[Line], verdict: Verdict) -> None:
    sent = [line for line in story if line["event"] == "sent"]
    outcomes = [line for line in story if line["event"] in {"end", "failed"}]
    if sent:
        verdict.sent.add(key)
        if not outcomes:
            lost = not _unpromised(sent[-1], faults)
            (verdict.lost if lost else verdict.unpromised).add(key)
    starts = [line for line in story if line["event"] == "start"]
    raised = sum(line["event"] == "raised" for line in story)
    if len(starts) > raised + 1 or len(outcomes) > 1:
        verdict.doubled[key] = _cause(story, starts, faults)
        verdict.stories[key] = story
    for before, after in itertools.pairwise(starts):
        kills = [fault for fault in faults if fault["kind"] == "worker kill -9"]
        death = _death(before, after, story, kills)
        if death is not None:
            quiet = not any(_disturbs(fault, death, after) for fault in faults)
            times = verdict.recovery if quiet else verdict.disturbed
            times.append(after["at"] - death["at"])


def shown(times: list[float]) -> str:
    """How many, p50 and max."""
    if not times:
        return "-"
    return f"{len(times)} jobs: p50 {statistics.median(times):.2f} s, max {max(times):.2f} s"


def _disturbs(fault: Line, death: Line, after: Line) -> bool:
    """Whether somebody but workers that died was ailing between a kill and the next start."""
    if str(fault["kind"]) in _WORKERS_DIE:
        return False
    ends = fault["at"] + fault.get("lasts", 0.0) + _AILING
    return bool(fault["at"] <= after["at"] and ends >= death["at"])


def _unpromised(sent: Line, faults: list[Line]) -> bool:
    """Only a broker that keeps no journal may forget, and only what it alone held."""
    return sent["confirm"] != "stored" and any(
        fault["kind"] == FORGETFUL and fault["at"] >= sent["at"] for fault in faults
    )


def _cause(story: list[Line], starts: list[Line], faults: list[Line]) -> str | None:
    for before, after in itertools.pairwise(starts):
        if _death(before, after, story, faults):
            return DIED
        if any(_hardly_given(fault, before, after) for fault in faults):
            return UNCOMMITTED
        if any(fault["kind"] == FORCED and before["at"] <= fault["at"] for fault in faults):
            return TWO_DATABASES
    sendings = [line for line in story if line["event"] == "sending"]
    plain = all(line["confirm"] != "stored" for line in sendings)
    # A stored job that is sent again under its id is dropped; under a new id it is another job.
    if len(sendings) > 1 or (plain and any(line.get("cut") for line in story)):
        return RESENT
    return ROLLED_BACK if plain and _rolled_back(story, starts, faults) else None


def _rolled_back(story: list[Line], starts: list[Line], faults: list[Line]) -> bool:
    """Whether a killed broker came back with a message that it had forgotten since its save."""
    return any(
        fault["kind"] == FORGETFUL
        and before["at"] <= fault["at"] <= after["at"]
        and _acknowledged(_end_of(before, story), faults) >= _saved_at(fault, faults)
        for before, after in itertools.combinations(starts, 2)
        for fault in faults
    )


def _acknowledged(end: float, faults: list[Line]) -> float:
    """Until when a run's message may have been unacknowledged; its broker may have been away."""
    soon = end + _UNTIL_ACKNOWLEDGED
    away = any(_keeps_from_acknowledging(fault, end, soon) for fault in faults)
    return float("inf") if away else soon


def _saved_at(kill: Line, faults: list[Line]) -> float:
    """Not before this moment was the state that a killed broker without a journal comes back with.

    It saves when it stops politely, and every so many seconds while it runs.
    """
    saved = kill["at"] - _SAVES_EVERY
    earlier = [f for f in faults if str(f["kind"]).startswith("broker") and f["at"] < kill["at"]]
    if not earlier:
        return float("-inf")  # it may not have run for so long
    last = max(earlier, key=lambda fault: float(fault["at"]))
    if saved > last["at"] + _BROKER_AWAY:
        return float(saved)
    return float(last["at"]) if last["kind"] != FORGETFUL else _saved_at(last, faults)


def _end_of(run: Line, story: list[Line]) -> float:
    """When a run ended; never, if it was cut off."""
    return min(
        (
            line["at"]
            for line in story
            if line["event"] in {"end", "raised", "failed"}
            and line["pid"] == run["pid"]
            and line["at"] >= run["at"]
        ),
        default=float("inf"),
    )


def _death(before: Line, after: Line, story: list[Line], faults: list[Line]) -> Line | None:
    """The fault that ended a run, or cut its worker off, before the next run started."""
    end = _end_of(before, story)
    for fault in faults:
        if before["pid"] not in fault.get("victims", ()):
            continue
        if fault["kind"] == GAVE_UP:
            if any(line.get("id") in fault["jobs"] for line in story):
                return fault
            continue
        begins, ends = fault["at"], fault["at"] + fault.get("lasts", 0.0)
        acknowledged = end + _UNTIL_ACKNOWLEDGED
        if any(_keeps_from_acknowledging(other, end, begins) for other in faults):
            acknowledged = float("inf")
        if ends >= before["at"] and begins <= min(after["at"], acknowledged):
            return fault
    return None


def _hardly_given(fault: Line, before: Line, after: Line) -> bool:
    """Whether a broker with a journal was killed in the moment in which it gave a job out.

    It hands a message over and writes that down with its next commit; in between it knows only that
    the job waits. Its worker is cut off while it runs, as by any other death.
    """
    lag = abs(fault["at"] - before["at"])
    soon = lag <= _UNTIL_COMMITTED and fault["at"] <= after["at"]
    return bool(fault["kind"] == JOURNALED and soon)


def _keeps_from_acknowledging(fault: Line, end: float, death: float) -> bool:
    """Whether the broker was away between the end of a run and the death of its worker."""
    return str(fault["kind"]).startswith("broker") and end - _BROKER_AWAY <= fault["at"] <= death


_UNTIL_ACKNOWLEDGED = 0.5
"""Seconds that a worker may need from the end of a run to its PUBACK."""

_WORKERS_DIE = ("worker kill -9", "worker SIGTERM", GAVE_UP, "worker kills itself")

_AILING = 15.0
"""Seconds after a fault in which not everything is itself again: broker or scheduler start,
everybody connects, and a scheduler that has reconnected adopts nobody for 6 seconds."""

_SAVES_EVERY = 15.0
"""Seconds between two snapshots of mosquitto at most: its `autosave_interval` of 10, and some more
on a busy machine."""

_UNTIL_COMMITTED = 0.5
"""Seconds in which the embedded broker has committed what it gave out, also when it is busy."""

_BROKER_AWAY = 10.0
