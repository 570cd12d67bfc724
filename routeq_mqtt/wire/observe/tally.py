"""What was counted of one job class on one queue: outcomes, run time, and time waited."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from routeq_mqtt.wire import checks
from routeq_mqtt.wire.observe.histogram import BUCKETS, added

OUTCOMES = ("done", "failed", "retried", "cancelled")


@dataclass(slots=True)
class Tally:
    """Counts of one (queue, job); they can be added and subtracted.

    Attributes:
        attempts: runs that ended here.
        outcomes: done, failed, retried, cancelled.
        reasons: of what failed.
        run: histogram of run times, from the first step of `handle` to its end.
        run_seconds: their sum.
        wait: histogram of the time from when a job was due to its first start. Retries are left
            out, and so are jobs that waited for other jobs.
        wait_seconds: their sum.
    """

    attempts: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    reasons: Counter[str] = field(default_factory=Counter)
    run: list[int] = field(default_factory=list)
    run_seconds: float = 0.0
    wait: list[int] = field(default_factory=list)
    wait_seconds: float = 0.0

    def add(self, other: Tally) -> None:
        """Count what another one has counted, too."""
        self.attempts += other.attempts
        for name, number in other.outcomes.items():
            self.outcomes[name] += number
        self.reasons.update(other.reasons)
        self.run = added(self.run, other.run)
        self.wait = added(self.wait, other.wait)
        self.run_seconds += other.run_seconds
        self.wait_seconds += other.wait_seconds

    def since(self, before: Tally) -> Tally:
        """What was counted since an earlier state; no number goes below 0."""
        return Tally(
            attempts=max(0, self.attempts - before.attempts),
            outcomes={n: max(0, self.outcomes[n] - before.outcomes[n]) for n in OUTCOMES},
            reasons=self.reasons - before.reasons,
            run=[max(0, n) for n in added(self.run, [-n for n in before.run])],
            run_seconds=max(0.0, self.run_seconds - before.run_seconds),
            wait=[max(0, n) for n in added(self.wait, [-n for n in before.wait])],
            wait_seconds=max(0.0, self.wait_seconds - before.wait_seconds),
        )

    def __bool__(self) -> bool:
        """Whether anything was counted."""
        return bool(self.attempts or any(self.outcomes.values()) or any(self.wait))

    def as_map(self) -> dict[str, Any]:
        """As it travels and is stored: what is 0 is left out, and zeros at a histogram's end."""
        whole = {
            "attempts": self.attempts,
            "outcomes": {name: n for name, n in self.outcomes.items() if n},
            "reasons": {name: n for name, n in self.reasons.items() if n},
            "run": _trimmed(self.run),
            "run_seconds": round(self.run_seconds, 6),
            "wait": _trimmed(self.wait),
            "wait_seconds": round(self.wait_seconds, 6),
        }
        return {name: part for name, part in whole.items() if part}


def _trimmed(buckets: list[int]) -> list[int]:
    end = len(buckets)
    while end and not buckets[end - 1]:
        end -= 1
    return buckets[:end]


def read_tally(value: Any) -> Tally:  # noqa: ANN401 - whatever came
    """A tally from its map.

    Raises:
        UnreadableMessage: it is invalid; says which field is wrong, and how.
    """
    values = checks.read_fields(checks.text_map("a tally")(value), _TALLY)
    values["outcomes"] = dict.fromkeys(OUTCOMES, 0) | values.get("outcomes", {})
    values["reasons"] = Counter(values.get("reasons", {}))
    return Tally(**values)


_amount = checks.count("a number of jobs", 0)
_buckets = checks.list_of("a histogram", _amount, most=BUCKETS)
_seconds = checks.number("seconds", 0, 1e15)
_TALLY: dict[str, checks.Check] = {
    "attempts": _amount,
    "outcomes": checks.map_of("outcomes", checks.word("an outcome", *OUTCOMES), _amount, most=10),
    "reasons": checks.map_of("reasons", checks.text("a reason", 200), _amount, most=100),
    "run": _buckets,
    "run_seconds": _seconds,
    "wait": _buckets,
    "wait_seconds": _seconds,
}
