"""A worker and a scheduler inside of a program: a web server, a notebook, a test."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from routeq_mqtt.bus.default import default_bus
from routeq_mqtt.bus.features.schedule_listing import announcement
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler as SchedulerService
from routeq_mqtt.scheduler.store.engines.postgres.url import place_of
from routeq_mqtt.tasks import Scope, Tasks
from routeq_mqtt.wire.display import shown
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker as WorkerService

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from routeq_mqtt.bus.bus import Bus


class Service(Protocol):
    """What runs until it is stopped."""

    online: asyncio.Event

    def stop(self) -> None:
        """Let `run` return."""

    async def run(self) -> None:
        """Work until stopped."""


S = TypeVar("S", bound=Service)


async def start(service: Service, tasks: Tasks, name: str) -> asyncio.Task[None]:
    """Run a service in a task; returns when it is online, and raises what it ended by before."""
    running = tasks.start(service.run(), name)
    async with Scope() as scope:
        online = scope.start(service.online.wait(), f"{name}-online")
        await asyncio.wait({running, online}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
    return running


class _Inside(Generic[S]):
    """A service that lives as long as a block."""

    def __init__(self, bus: Bus | None) -> None:
        self._given = bus
        self._tasks = Tasks()
        self._service: S | None = None
        self._running: asyncio.Task[None] | None = None

    def _make(self, bus: Bus) -> S:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        if self._running is not None:
            raise ConfigurationError(f"{type(self).__name__}: it runs already; make another one")
        service = self._service = self._make(self._given or default_bus())
        try:
            self._running = await start(service, self._tasks, type(self).__name__.lower())
        except BaseException:
            await self._tasks.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        running, self._running = self._running, None
        if running is not None:
            await running

    def stop(self) -> None:
        """Let it end gracefully; leaving the block waits for that."""
        if self._service is not None:
            self._service.stop()

    async def run(self) -> None:
        """Start it, and wait until it has ended: `stop` was called, or a limit was reached.

        Raises:
            TaskEnded: it ended by an error.
        """
        async with self:
            if self._running is not None:
                await asyncio.shield(self._running)


class Worker(_Inside[WorkerService]):
    """A worker in this process and this event loop: ``async with Worker(bus, queues=["mail"]):``.

    It runs the jobs whose classes and functions are imported here. Leaving the block stops it
    gracefully: running jobs get `shutdown_timeout` seconds. It installs no signal handlers, sets up
    no logging, and changes no event loop policy. A coroutine that blocks the loop blocks the
    program as well: plain functions run in threads.

    Args:
        bus: whose settings, broker and keys it takes; default: the default bus.
        queues: highest priority first; default "default".
        concurrency: jobs that run at once; default 10.
        options: everything else; `queues` and `concurrency` take the place of its own.

    Raises:
        ConfigurationError: an option makes no sense.
    """

    def __init__(
        self,
        bus: Bus | None = None,
        *,
        queues: Sequence[str] | None = None,
        concurrency: int | None = None,
        options: WorkerOptions | None = None,
    ) -> None:
        super().__init__(bus)
        if isinstance(queues, str):
            raise ConfigurationError(
                f"Worker: queues={shown(queues)} must be a list of names: queues=[{queues!r}]"
            )
        chosen = options or WorkerOptions()
        if queues is not None:
            chosen = replace(chosen, queues=tuple(queues))
        if concurrency is not None:
            chosen = replace(chosen, concurrency=concurrency)
        self._options = chosen

    def _make(self, bus: Bus) -> WorkerService:
        overrides = self._options.overrides and bus.settings.overrides
        options = replace(self._options, guard=bus.guard, overrides=overrides)
        transport, topics, clock, is_own = bus.parts_for_services()
        return WorkerService(transport, options, topics=topics, clock=clock, in_thread=not is_own)

    @property
    def ended_jobs(self) -> int:
        """How many jobs ended here, however."""
        return 0 if self._service is None else self._service.ended_jobs

    @property
    def failed_jobs(self) -> int:
        """How many of them ended as a failed record."""
        return 0 if self._service is None else self._service.failed_jobs


class Scheduler(_Inside[SchedulerService]):
    """A scheduler in this process and this event loop: ``async with Scheduler(bus, db="x.db"):``.

    There is one for each bus, whichever process runs it: a second one is refused.

    Args:
        bus: whose settings, broker and keys it takes; default: the default bus.
        db: the SQLite file, made where it is missing; default "routeq.db". Or a database in
            PostgreSQL, ``postgresql://user@host/name``: if another scheduler has it, the block is
            entered when that has ended.

    Raises:
        SchedulerRunning: entering the block: another scheduler works on this bus.
    """

    def __init__(self, bus: Bus | None = None, *, db: str | Path = "routeq.db") -> None:
        super().__init__(bus)
        if not isinstance(db, str | Path):
            raise ConfigurationError(
                f"Scheduler: db={shown(db)} must be the path of a file, or a url"
            )
        self._db = place_of(db) if isinstance(db, str) else db

    def _make(self, bus: Bus) -> SchedulerService:
        transport, topics, clock, _ = bus.parts_for_services()
        options = SchedulerOptions(
            db=self._db, guard=bus.guard, schedules=tuple(announcement(clock.now()))
        )
        return SchedulerService(transport, options, topics=topics, clock=clock)
