"""A worker: lives of `Incarnation` one after the other, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import ConnectionFailed, NoScheduler
from routeq_mqtt.signal import Signal
from routeq_mqtt.topics import Topics
from routeq_mqtt.worker.declaring import declare
from routeq_mqtt.worker.incarnation import Incarnation
from routeq_mqtt.worker.memory import resident_memory
from routeq_mqtt.worker.outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.transport.seam import Transport
    from routeq_mqtt.worker.held import Held
    from routeq_mqtt.worker.options import WorkerOptions
    from routeq_mqtt.worker.outcome import Outcome

log = logging.getLogger(__name__)

_MEASURE_EVERY = 1.0
"""Seconds between two looks at the memory (`max_memory`)."""

_LOOK_EVERY = 0.2
"""Seconds between two looks whether the queues are empty (`stop_when_empty`)."""


class Worker:
    """Runs the jobs of some queues.

    Args:
        transport: how to reach the broker.
        options: what to work on and how.
        topics: the topics of the bus.
        clock: where time comes from.
        in_thread: keep the presence in a thread of its own; default True.
        hook: called at each step that a fault test may want to die at.

    Attributes:
        too_big: it stopped because of `max_memory`: start another one.
        given_up: jobs that ended here and run again: it stopped, and their outcomes found no way
            out, since the broker or the scheduler was away.
    """

    def __init__(
        self,
        transport: Transport,
        options: WorkerOptions,
        *,
        topics: Topics | None = None,
        clock: Clock | None = None,
        in_thread: bool = True,
        hook: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.online = asyncio.Event()
        self.failed_jobs = 0
        self.too_big = False
        self.given_up = 0
        self.ended_jobs = 0
        self._transport = transport
        self._options = options
        self._topics = topics or Topics()
        self._clock = clock or SystemClock()
        self._in_thread = in_thread
        self._hook = hook
        self._stopping = False
        self._stop = Signal()

    def stop(self) -> None:
        """Take no more, finish what runs; `run` returns after that."""
        self._stopping = True
        self._stop.fire()

    async def run(self) -> None:
        """Work until stopped, or until one of the options' limits is reached."""
        deadline = self._clock.monotonic() + (self._options.max_time or float("inf"))
        while not self._stopping:
            life = Incarnation(
                self._transport,
                self._topics,
                self._clock,
                self._options,
                in_thread=self._in_thread,
                ended=self._count,
                most=self._jobs_left(),
                hook=self._hook,
            )
            await self._live(life, deadline)

    async def _live(self, life: Incarnation, deadline: float) -> None:
        waits = [
            asyncio.create_task(self._stop.wait(), name="worker-stop"),
            asyncio.create_task(life.fenced.wait(), name="worker-fenced"),
            asyncio.create_task(self._until(deadline), name="worker-max-time"),
        ]
        if self._options.max_memory is not None:
            waits.append(asyncio.create_task(self._until_too_big(), name="worker-max-memory"))
        if self._options.stop_when_empty:
            waits.append(asyncio.create_task(self._until_empty(life), name="worker-empty"))
        start = asyncio.create_task(life.start(), name="worker-start")
        declaring = asyncio.create_task(
            declare(life.requests, self._options.triggers), name="worker-triggers"
        )
        try:
            await asyncio.wait({start, *waits}, return_when=asyncio.FIRST_COMPLETED)
            if start.done() and start.exception() is None and not self._stopping:
                self.online.set()
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (start, declaring, *waits):
                task.cancel()
            await asyncio.gather(start, declaring, *waits, return_exceptions=True)
        if life.is_fenced:
            await life.abandon()
        else:
            self._stopping = True
            await life.stop()
            self.given_up = life.given_up

    def _jobs_left(self) -> int | None:
        most = self._options.max_jobs
        return None if most is None else most - self.ended_jobs

    def _count(self, held: Held, outcome: Outcome) -> None:
        self.ended_jobs += 1
        self.failed_jobs += isinstance(outcome, Failed)
        if self._options.max_jobs is not None and self.ended_jobs >= self._options.max_jobs:
            self.stop()

    async def _until(self, deadline: float) -> None:
        if deadline == float("inf"):
            await asyncio.Future()
        await asyncio.sleep(deadline - self._clock.monotonic())

    async def _until_too_big(self) -> None:
        most = self._options.max_memory or float("inf")
        while (used := resident_memory()) <= most:
            await asyncio.sleep(_MEASURE_EVERY)
        log.warning("memory=%.0f MB is more than --max-memory=%.0f: the worker stops", used, most)
        self.too_big = True

    async def _until_empty(self, life: Incarnation) -> None:
        await self.online.wait()
        quiet = 0
        while quiet < 2:  # what was given back a moment ago has had the time to come again
            await asyncio.sleep(_LOOK_EVERY)
            is_quiet = life.holds_nothing and not await self._backlog(life) and life.holds_nothing
            quiet = quiet + 1 if is_quiet else 0

    async def _backlog(self, life: Incarnation) -> int:
        """Jobs that wait for our queues, as far as somebody can tell."""
        around = life.sender.surroundings
        waiting = sum(around.waiting.get(queue, 0) for queue in self._options.served)
        if not around.scheduler_online:
            return waiting
        try:
            sizes = await life.requests.call("sizes")
        except (NoScheduler, ConnectionFailed):
            return waiting
        mine = (sizes.get(queue, {}) for queue in self._options.served)
        return waiting + sum(int(size["parked"] + size["released"]) for size in mine if size)
