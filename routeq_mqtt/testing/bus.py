"""A whole bus in one process: broker in memory, scheduler and worker, for tests and first steps."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.service import start
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.testing.memory.broker import MemoryBroker
from routeq_mqtt.testing.memory.transport import MemoryTransport
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker

if TYPE_CHECKING:
    from types import TracebackType

    from routeq_mqtt.clock import Clock


class MemoryBus(Bus):
    """A bus that needs no broker, no scheduler and no worker process.

    ``async with MemoryBus() as bus: await bus.dispatch(job)``: the job really runs, with retries,
    delays and failed records, in this process and by the code that runs in production. Only the
    broker is another one; it is `broker`, for tests that restart it or cut a connection.

    Args:
        queues: that a worker of this process works on; none: `worker` starts workers later.
        broker: the broker; default: one that behaves as mosquitto does.
        settings: of the bus; default: as they are without an environment.
        clock: where time comes from.
    """

    def __init__(
        self,
        *queues: str,
        broker: MemoryBroker | None = None,
        settings: Settings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._time = clock or SystemClock()
        self.broker: MemoryBroker = broker or MemoryBroker(clock=self._time)
        self.transport: MemoryTransport = MemoryTransport(self.broker)
        super().__init__(
            settings=settings or Settings(), transport=self.transport, clock=self._time
        )
        self._queues = queues
        self._stack = AsyncExitStack()
        self._running = Tasks()

    async def __aenter__(self) -> MemoryBus:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="routeq-"))
        try:
            await self.scheduler(Path(folder) / "routeq.db")
            if self._queues:
                await self.worker(*self._queues)
            await self.open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
        await self._stack.aclose()

    async def scheduler(self, db: Path) -> Scheduler:
        """Start a scheduler; returns when it is online. `async with` starts one by itself."""
        options = SchedulerOptions(db=db, guard=self.guard)
        scheduler = Scheduler(self.transport, options, topics=self._topics, clock=self._time)
        await self._start(scheduler)
        return scheduler

    async def worker(self, *queues: str, options: WorkerOptions | None = None) -> Worker:
        """Start a worker in this process; returns when it is online.

        Args:
            *queues: that it works on, in order of priority; default: "default".
            options: how it works; replaces `queues`.
        """
        chosen = options or WorkerOptions(queues=queues or ("default",), guard=self.guard)
        worker = Worker(
            self.transport, chosen, topics=self._topics, clock=self._time, in_thread=False
        )
        await self._start(worker)
        return worker

    async def _start(self, service: Scheduler | Worker) -> None:
        running = await start(service, self._running, type(service).__name__.lower())

        async def stop() -> None:
            service.stop()
            await running

        self._stack.push_async_callback(stop)
