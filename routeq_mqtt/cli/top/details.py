"""What running jobs are: asked of the scheduler, which asks the workers that hold them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from routeq_mqtt.errors import RouteqError
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.wire.observe.asks import JobsShow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from routeq_mqtt.bus.bus import Bus

MOST = 50
"""Jobs that are asked for at a time: the first ones of the table."""

_AT_ONCE = 8
"""Questions on their way; others may ask the same workers."""

_WITHIN = 3.0
"""Seconds; the scheduler gives a worker one second."""

_AGAIN = 10.0
"""Seconds after which a job is asked for again that no worker has answered for."""


@dataclass(frozen=True, slots=True)
class Detail:
    """What a job is; None: its worker has not said so."""

    job: str | None = None
    queue: str | None = None


class Details:
    """Asks once for each running job, never for more than a few, and keeps what it needs.

    Args:
        bus: where to ask.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._tasks = Tasks()
        self._ask_again: dict[str, float] = {}
        self.known: dict[str, Detail] = {}

    def look(self, running: Iterable[str]) -> None:
        """Ask for what is not known of these jobs, in the background; forget all others."""
        ids = dict.fromkeys(running)
        self.known = {job: detail for job, detail in self.known.items() if job in ids}
        self._ask_again = {job: at for job, at in self._ask_again.items() if job in ids}
        if self._tasks or not self._bus.sender.surroundings.scheduler_online:
            return  # a worker that is silent is waited for, not asked over and over
        now = time.monotonic()
        wanted = [job for job in [*ids][:MOST] if self._ask_again.get(job, 0.0) <= now]
        if wanted:
            self._tasks.start(self._ask_all(wanted), "top-details")

    async def finish(self, timeout: float = _WITHIN) -> None:
        """Wait for the answers, as long as that at most."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout)

    def close(self) -> None:
        """Ask no more."""
        self._tasks.cancel()

    async def _ask_all(self, wanted: list[str]) -> None:
        turn = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._ask(job, turn) for job in wanted))

    async def _ask(self, job: str, turn: asyncio.Semaphore) -> None:
        async with turn:
            try:
                found = await self._bus.requests.ask(JobsShow(id=job), timeout=_WITHIN)
            except RouteqError:  # it is over by now, or the scheduler is older and cannot say
                found = None
        if found is not None and found.job is not None:
            self.known[job] = Detail(found.job, found.queue or None)
            self._ask_again[job] = float("inf")
        else:
            self._ask_again[job] = time.monotonic() + _AGAIN
