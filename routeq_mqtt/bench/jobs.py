"""The jobs of the benchmark; a worker loads them with ``--app routeq_mqtt.bench.jobs``."""

from __future__ import annotations

import time

from routeq_mqtt.bench.tally import Tally
from routeq_mqtt.jobs.job import Job

_tally: list[Tally] = []


def _the_tally() -> Tally:
    if not _tally:
        _tally.append(Tally())
    return _tally[0]


class BenchNoop(Job):
    """Does nothing, and is counted."""

    text: str

    async def handle(self) -> None:
        """Count."""
        _the_tally().job()


class BenchTimed(Job):
    """Says how long ago it should have started.

    Attributes:
        due: monotonic seconds, or UTC epoch seconds where `wall` is true.
    """

    text: str
    due: float
    wall: bool = False

    async def handle(self) -> None:
        """Measure."""
        now = time.time() if self.wall else time.monotonic()
        _the_tally().job(now - self.due)


class BenchGate(Job):
    """Holds a slot of its worker until the benchmark opens the gate."""

    async def handle(self) -> None:
        """Wait."""
        await _the_tally().gate()
