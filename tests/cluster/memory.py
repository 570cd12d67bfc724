"""A bed without processes: broker, scheduler and workers live in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from routeq_mqtt import Bus
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.transport.base import Transport
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker
from tests.cluster import jobs
from tests.cluster.cluster import Cluster
from tests.cluster.process import Process
from tests.cluster.recorder import Recorder

_FLAGS = {
    "--concurrency": int,
    "--timeout": float,
    "--max-tries": int,
    "--cancel-timeout": float,
}


class Inside(Process):
    """A service in this process, with as much of `Process` as such a test needs."""

    def __init__(self, service: Scheduler | Worker) -> None:
        self._service = service
        self._running = asyncio.create_task(service.run())

    @property
    def running(self) -> bool:
        return not self._running.done()

    async def online(self) -> None:
        online = asyncio.create_task(self._service.online.wait())
        await asyncio.wait({self._running, online}, return_when=asyncio.FIRST_COMPLETED)
        online.cancel()
        if not self.running:
            await self._running

    async def stop(self) -> int:
        self._service.stop()
        await self._running
        return 0


class MemoryCluster(Cluster):
    """A cluster without processes, in the test's own event loop."""

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        super().__init__("memory", folder, recorder)
        self._memory = MemoryBroker()
        self._services: list[Inside] = []
        os.environ["ROUTEQ_TEST_RECORDER"] = str(recorder.port)

    def _transport(self) -> Transport:
        return MemoryTransport(self._memory)

    async def start_broker(self) -> None:
        self._memory.start()

    async def stop_broker(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._memory.stop()

    async def scheduler(self, *flags: str, **env: str) -> Process:
        assert not flags
        options = SchedulerOptions(db=self.db)
        sharing = Settings.from_environment(self.extra_env | env).sharing
        topics = replace(self.topics, sharing=sharing)
        return await self._start(Scheduler(self._transport(), options, topics=topics))

    async def worker(self, queues: str = "default", *flags: str, **env: str) -> Process:
        chosen: dict[str, Any] = {
            name.strip("-").replace("-", "_"): _FLAGS[name](value)
            for name, value in zip(flags[::2], flags[1::2], strict=True)
        }
        options = WorkerOptions(queues=tuple(queues.split(",")), shutdown_timeout=0.0, **chosen)
        work = Worker(self._transport(), options, topics=self.topics, in_thread=False)
        return await self._start(work)

    async def _start(self, service: Scheduler | Worker) -> Process:
        inside = Inside(service)
        self._services.append(inside)
        await inside.online()
        return inside

    @contextlib.asynccontextmanager
    async def bus(self, **settings: Any) -> AsyncIterator[Bus]:
        async with Bus(settings=Settings(**settings), transport=self._transport()) as bus:
            yield bus

    async def close(self) -> None:
        for service in reversed(self._services):  # workers first: they report to the scheduler
            await service.stop()
        await jobs.disconnect()
        del os.environ["ROUTEQ_TEST_RECORDER"]
