"""Where a scenario plays: a bus, worker processes of its own, and a count of what they run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from routeq_mqtt.bench.counter import Counter
from routeq_mqtt.bench.jobs import BenchGate
from routeq_mqtt.bench.tally import PORT
from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from routeq_mqtt.bench.workload import Workload
    from routeq_mqtt.settings.settings import Settings

CONCURRENCY = 10
"""Of a worker, as by default."""


class Stage:
    """One run of one scenario, on a queue of its own.

    Args:
        settings: of the bus under test.
        load: how much there is to do.
    """

    def __init__(self, settings: Settings, load: Workload) -> None:
        self.settings = settings
        self.load = load
        self.queue: str = f"bench-{new_id()[-10:]}"
        self.counter: Counter = Counter()
        self.bus: Bus = Bus(settings=settings)
        self.processes: list[asyncio.subprocess.Process] = []
        self._tasks = Tasks()

    async def __aenter__(self) -> Stage:
        await self.counter.__aenter__()
        await self.bus.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.counter.open()
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            await process.wait()
        await self.bus.close()
        await self.counter.__aexit__(*error)

    async def worker(self, *flags: str) -> asyncio.subprocess.Process:
        """Start a worker process; returns when it is online."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "routeq_mqtt.cli", "worker", "--queue", self.queue,
            "--app", "routeq_mqtt.bench.jobs", *flags,
            env=os.environ | {PORT: str(self.counter.port), "ROUTEQ_URL": self.settings.url},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.processes.append(process)
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        said = b""
        while b" online " not in (line := await process.stderr.readline()):
            said += line
            if not line:
                raise RuntimeError(f"the worker did not start:\n{said.decode()}")
        self._tasks.start(_discard(process.stderr), "bench-discard")
        return process

    @contextlib.asynccontextmanager
    async def busy_workers(self, number: int = 1, *flags: str) -> AsyncIterator[None]:
        """Workers whose slots are all taken: what is sent waits in the broker. Ends drained."""
        for _ in range(number):
            await self.worker(*flags)
        slots = number * CONCURRENCY
        for _ in range(slots):  # one by one: the broker deals them out in turn
            await self.bus.dispatch(BenchGate(), queue=self.queue)
        await self.counter.until(lambda: self.counter.held >= slots, "busy workers")
        yield


async def _discard(stream: asyncio.StreamReader) -> None:
    while await stream.read(1 << 16):
        pass
