"""A worker: lives of `WorkerRun` one after the other, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import ConnectionFailed, NoScheduler, RequestFailed, TaskEnded
from routeq_mqtt.jobs.calls.life import worker_life
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.tasks import Scope, Tasks
from routeq_mqtt.topics import Topics
from routeq_mqtt.wire.messages.requests import Sizes
from routeq_mqtt.worker.consume.groups import check_groups, follow_scheduler
from routeq_mqtt.worker.execute.outcome import Failed
from routeq_mqtt.worker.files import allow_files
from routeq_mqtt.worker.memory import resident_memory
from routeq_mqtt.worker.report.trigger_registration import declare
from routeq_mqtt.worker.run import WorkerRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.transport.base import Transport
    from routeq_mqtt.worker.delivery import Delivery
    from routeq_mqtt.worker.execute.outcome import Outcome
    from routeq_mqtt.worker.options import WorkerOptions

log: logging.Logger = logging.getLogger(__name__)

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
        stuck: it stopped because every slot was lost to a job that ignores its cancellation.
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
        self.online: asyncio.Event = asyncio.Event()
        self.failed_jobs: int = 0
        self.too_big: bool = False
        self.stuck: bool = False
        self.given_up: int = 0
        self.ended_jobs: int = 0
        self._transport = transport
        self._options = options
        self._topics = topics or Topics()
        self._clock = clock or SystemClock()
        self._in_thread = in_thread
        self._hook = hook
        self._stopping = False
        self._stop = Notifier()

    def stop(self) -> None:
        """Take no more, finish what runs; `run` returns after that."""
        self._stopping = True
        self._stop.notify()

    async def run(self) -> None:
        """Work until stopped, or until one of the options' limits is reached.

        Raises:
            ConfigurationError: it serves more queues than it may open connections for.
            TaskEnded: it could not start, or what watches over it ended by an error; what it held
                is left to the next worker.
        """
        async with worker_life():
            await self._work()

    async def _work(self) -> None:
        if self._in_thread:  # else its connections are no files
            allow_files(len(self._options.served))
        deadline = self._clock.monotonic() + (self._options.max_time or float("inf"))
        while not self._stopping:
            life = WorkerRun(
                self._transport,
                self._topics,
                self._clock,
                self._options,
                in_thread=self._in_thread,
                ended=self._count,
                exhausted=self._exhausted,
                most=self._jobs_left(),
                hook=self._hook,
            )
            await self._live(life, deadline)

    async def _live(self, life: WorkerRun, deadline: float) -> None:
        declaring = Tasks()
        declaring.start(declare(life.requests, self._options.triggers), "worker-triggers")
        declaring.start(check_groups(life.sender), "worker-groups")
        declaring.keep(partial(follow_scheduler, life.sender, life.sessions), "worker-follows")
        try:
            async with Scope() as scope:
                ended = await self._until_over(life, deadline, scope)
        except BaseException:
            # Cancelled, be it by a job that cancels all tasks or stops the event loop: slots go on
            # after a cancellation as long as their pool is open, and our heartbeat has a thread.
            await life.abandon()
            raise
        finally:
            await declaring.close()
        self._stopping = self._stopping or not life.is_fenced
        if life.is_fenced or not await self._leave_gracefully(life):
            await life.abandon()
        if ended is not None:
            raise TaskEnded(f"the worker ended by an error: {ended!r}") from ended

    async def _leave_gracefully(self, life: WorkerRun) -> bool:
        """Whether it could; not where it learns meanwhile that its sessions were adopted."""
        async with Scope() as scope:
            fenced = scope.start(life.fenced.wait(since=0), "worker-fenced")
            stop = scope.start(life.stop(), "worker-leaves")
            await asyncio.wait({fenced, stop}, return_when=asyncio.FIRST_COMPLETED)
            if life.is_fenced:
                return False
            await stop
        self.given_up = life.given_up
        return True

    async def _until_over(
        self, life: WorkerRun, deadline: float, scope: Scope
    ) -> BaseException | None:
        """Until somebody or something ends this life; the error, if that was one."""
        waits: list[asyncio.Task[Any]] = [
            scope.start(self._stop.wait(), "worker-stop"),
            scope.start(life.fenced.wait(since=0), "worker-fenced"),
            scope.start(self._until(deadline), "worker-max-time"),
        ]
        if self._options.max_memory is not None:
            waits.append(scope.start(self._until_too_big(), "worker-max-memory"))
        if self._options.stop_when_empty:
            waits.append(scope.start(self._until_empty(life), "worker-empty"))
        start = scope.start(life.start(), "worker-start")
        await asyncio.wait({start, *waits}, return_when=asyncio.FIRST_COMPLETED)
        if start.done() and start.exception() is None and not self._stopping:
            self.online.set()
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in (start, *waits):
            error = task.exception() if task.done() else None
            if error is not None:
                log.error("task=%s ended by an error: %r", task.get_name(), error, exc_info=error)
                return error
        return None

    def _jobs_left(self) -> int | None:
        most = self._options.max_jobs
        return None if most is None else most - self.ended_jobs

    def _count(self, held: Delivery, outcome: Outcome) -> None:
        self.ended_jobs += 1
        self.failed_jobs += isinstance(outcome, Failed)
        if self._options.max_jobs is not None and self.ended_jobs >= self._options.max_jobs:
            self.stop()

    def _exhausted(self) -> None:
        log.error("every slot was lost to a job that ignores its cancellation: the worker stops")
        self.stuck = True
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

    async def _until_empty(self, life: WorkerRun) -> None:
        await self.online.wait()
        quiet = 0
        while quiet < 2:  # what was given back a moment ago has had the time to come again
            await asyncio.sleep(_LOOK_EVERY)
            is_quiet = life.holds_nothing and not await self._backlog(life) and life.holds_nothing
            quiet = quiet + 1 if is_quiet else 0

    async def _backlog(self, life: WorkerRun) -> int:
        """Jobs that wait for our queues, as far as somebody can tell."""
        around = life.sender.surroundings
        waiting = sum(around.waiting.get(queue, 0) for queue in self._options.served)
        if not around.scheduler_online:
            return waiting
        try:
            sizes = await life.requests.ask(Sizes())
        except (NoScheduler, ConnectionFailed, RequestFailed):
            return waiting
        mine = [sizes[queue] for queue in self._options.served if queue in sizes]
        return waiting + sum(size.parked + size.released for size in mine)
