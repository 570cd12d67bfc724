"""A stored job's id is remembered for 7 days after it was done, by a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from routeq_mqtt import Bus, Job
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.scheduler.store.engines.engine import Held
from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker
from tests.cluster.recorder import TIMEOUT

DAY = 86_400.0
RAN: Counter[str] = Counter()


class Once(Job):
    async def handle(self) -> None:
        RAN[str(self.job_id)] += 1


class ClockJumps(SystemClock):
    """Days pass at once."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class World:
    """A broker in memory, a scheduler that is not started yet, and a calendar for both."""

    store: Store

    def __init__(self, db: Path) -> None:
        self.clock = ClockJumps()
        self.transport = MemoryTransport(MemoryBroker(clock=self.clock))
        self.scheduler = Scheduler(
            self.transport,
            SchedulerOptions(db=db),
            clock=self.clock,
            open_store=self._opened,
        )

    async def _opened(self, path: DatabasePlace, held: Held | None) -> Store:
        self.store = await Store.open(path, held)
        return self.store


@asynccontextmanager
async def running(service: Scheduler | Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(service.run())
    await service.online.wait()
    try:
        yield
    finally:
        service.stop()
        await task


async def run_to_the_end(bus: Bus, job_id: str) -> None:
    """Store it; when another job that was stored behind it is over, this one is too."""
    behind = new_id()
    for one in (job_id, behind):
        envelope = Envelope(id=one, job="Once", data={}, queue="default")
        assert await bus.store([envelope]) == [one]
    async with asyncio.timeout(TIMEOUT):
        while not RAN[behind] or int(await bus.size("default")):
            await asyncio.sleep(0)


async def test_a_stored_id_is_remembered_for_seven_days(tmp_path: Path) -> None:
    world = World(tmp_path / "routeq.db")
    clock, transport = world.clock, world.transport
    job_id = new_id()
    async with (
        running(world.scheduler),
        Bus(settings=Settings(), transport=transport, clock=clock) as bus,
    ):
        for day, runs in ((0.0, 1), (0.1, 1), (6.9, 1), (7.1, 2)):
            clock.ahead = day * DAY
            await world.store.purge(clock.now())
            # Another worker each time: this is not about what one remembers of its own jobs.
            chosen = WorkerOptions(queues=("default",))
            async with running(Worker(transport, chosen, clock=clock, in_thread=False)):
                await run_to_the_end(bus, job_id)
            assert RAN[job_id] == runs, f"after {day} days"


async def test_a_worker_that_did_a_job_before_says_so_again(tmp_path: Path) -> None:
    """Sent again under its old id after the scheduler forgot it: no row waits for ever."""
    world = World(tmp_path / "routeq.db")
    clock, transport = world.clock, world.transport
    chosen = WorkerOptions(queues=("default",))
    job_id = new_id()
    async with (
        running(world.scheduler),
        running(Worker(transport, chosen, clock=clock, in_thread=False)),
        Bus(settings=Settings(), transport=transport, clock=clock) as bus,
    ):
        await run_to_the_end(bus, job_id)
        clock.ahead = 8 * DAY
        await world.store.purge(clock.now())
        await run_to_the_end(bus, job_id)
        async with asyncio.timeout(TIMEOUT):
            while any(size["released"] for size in (await bus.requests.call("sizes")).values()):
                await asyncio.sleep(0)
    assert RAN[job_id] == 1
