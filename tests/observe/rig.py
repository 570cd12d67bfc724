"""A bus in the test's own event loop, whose numbers a test can have counted at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from routeq_mqtt import Bus, Job
from routeq_mqtt.scheduler.observe.observers import Observers
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.transport.base import ConnectOptions, Message
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker
from tests.cluster.cluster import database_in

gates: dict[str, asyncio.Event] = {}
"""What `Obstructed` jobs wait for; of one test each."""

counted: list[tuple[str, str]] = []
"""What really happened: key of a job, and how its run ended."""


class Tallied(Job):
    """Does what it is told, and writes it down."""

    max_tries = 2
    retry_after = 0.0

    key: str
    outcome: str = "done"

    async def handle(self) -> None:
        if self.outcome == "fails" or (self.outcome == "once" and self.attempts == 1):
            counted.append((self.key, "raised"))
            raise ValueError(f"no <b>{self.key}</b>")
        counted.append((self.key, "done"))


class Obstructed(Job):
    """Runs until its gate is opened."""

    key: str

    async def handle(self) -> None:
        await gates[self.key].wait()


class Rig:
    """A broker in memory, and what a test starts on it."""

    def __init__(self, folder: Path) -> None:
        self.broker = MemoryBroker()
        self.folder = folder
        self.transport = MemoryTransport(self.broker)
        self.scheduler: Scheduler | None = None
        self._tasks: dict[object, asyncio.Task[None]] = {}

    async def start_scheduler(self, **options: Any) -> Scheduler:
        chosen = SchedulerOptions(db=database_in(self.folder), **options)
        scheduler = self.scheduler = Scheduler(self.transport, chosen)
        await self._start(scheduler)
        return scheduler

    async def start_worker(self, *queues: str, **options: Any) -> Worker:
        chosen = WorkerOptions(queues=queues or ("default",), **options)
        worker = Worker(self.transport, chosen, in_thread=False)
        await self._start(worker)
        return worker

    async def _start(self, service: Scheduler | Worker) -> None:
        task = self._tasks[service] = asyncio.create_task(service.run())
        online = asyncio.create_task(service.online.wait())
        await asyncio.wait({task, online}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task

    async def stop(self, service: Scheduler | Worker) -> None:
        service.stop()
        await self._tasks.pop(service)

    async def kill(self, service: Scheduler | Worker) -> None:
        """End it without its goodbye."""
        task = self._tasks.pop(service)
        task.cancel()
        await asyncio.wait({task})

    @property
    def observers(self) -> Observers:
        assert self.scheduler is not None
        assert self.scheduler._roles is not None
        return self.scheduler._roles.observers

    async def retained(self, filter_: str) -> dict[str, Any]:
        """What is retained, as JSON."""
        return {
            topic: json.loads(payload)
            for topic, payload in (await self.heard(filter_)).items()
            if payload
        }

    async def heard(self, filter_: str) -> dict[str, bytes]:
        """What a new subscriber gets before its own mark."""
        found: dict[str, bytes] = {}
        over = asyncio.Event()

        def take(message: Message) -> None:
            if message.topic == "mark":
                over.set()
            else:
                found[message.topic] = message.payload
            connection.acknowledge(message)

        connection = await self.transport.connect(ConnectOptions("looker"), take)
        await connection.subscribe(filter_)
        await connection.subscribe("mark")
        await connection.publish("mark", b"")
        await over.wait()
        await connection.close()
        return found

    async def close(self) -> None:
        for service in [*self._tasks]:
            assert isinstance(service, Scheduler | Worker)
            await self.stop(service)


@contextlib.asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[tuple[Rig, Bus]]:
    """A bus with a scheduler, and a client of it."""
    counted.clear()
    one = Rig(folder)
    await one.start_scheduler()
    async with Bus(settings=Settings(), transport=one.transport) as bus:
        try:
            yield one, bus
        finally:
            for gate in gates.values():
                gate.set()
            await one.close()
            gates.clear()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; the test's own timeout ends it otherwise."""
    while not is_so():
        await asyncio.sleep(0.002)
