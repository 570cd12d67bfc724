"""What every system under test has to do. Standard library only: peers import it, too."""

from __future__ import annotations

from dataclasses import dataclass

TEXT = "x" * 200
"""The argument of the no-op job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Sizes of the scenarios.

    Attributes:
        one_by_one: jobs dispatched one after the other.
        concurrent: jobs dispatched by `callers` at once.
        callers: concurrent calls of dispatch.
        bulk: jobs sent in one call.
        backlog: jobs that wait when a drain begins.
        at_once: jobs sent while they are worked on.
        latency_rate: jobs per second on an idle system.
        latency_seconds: for this many seconds.
        waiting: delayed jobs that wait on disk while others come due.
        due: delayed jobs whose lateness is measured; they come due over ten seconds.
    """

    one_by_one: int = 5_000
    concurrent: int = 20_000
    callers: int = 100
    bulk: int = 50_000
    backlog: int = 50_000
    at_once: int = 30_000
    latency_rate: int = 50
    latency_seconds: float = 10.0
    waiting: int = 100_000
    due: int = 500


FULL = Workload()
"""What `make bench` measures."""

SHORT = Workload(
    one_by_one=2_000,
    concurrent=10_000,
    bulk=20_000,
    backlog=20_000,
    at_once=20_000,
    latency_seconds=5.0,
    waiting=0,
    due=200,
)
"""What `routeq-mqtt bench` measures on a user's own broker in about a minute."""
