"""What a scheduler that must leave gives to the other one, and what stays in its file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from routeq_mqtt import Bus, Fail, Job, batch, chain
from routeq_mqtt.bus.send.sender import Sender
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.scheduler.lifecycle.handover import Handover
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.topics import Topics
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker
from tests.cluster.recorder import TIMEOUT
from tests.scheduler.test_seven_days import running

RAN: list[str] = []
BROKEN = {"chain 2"}


class Tells(Job):
    key: str

    async def handle(self) -> None:
        if self.key in BROKEN:
            raise Fail("not yet")
        RAN.append(self.key)


class Single(Tells):
    unique_for = 3600


class Narrow(Tells):
    concurrency_limit = 1


async def dispatch_all(bus: Bus) -> list[str]:
    """The chain's ids."""
    ids = await chain(*(Tells(key=f"chain {n}") for n in (1, 2, 3))).dispatch(bus)
    parts = batch([Tells(key="part 1"), Tells(key="part 2")])
    await parts.then(Tells(key="then")).dispatch(bus)
    await bus.dispatch(Single(key="unique"))
    await bus.bulk([Narrow(key="narrow 1"), Narrow(key="narrow 2")])
    await bus.dispatch(Tells(key="plain"), confirm="stored")
    await bus.dispatch(Tells(key="later"), delay=3600, confirm="stored")
    return ids


async def ran(*keys: str) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not set(keys) <= set(RAN):
            await asyncio.sleep(0)


async def test_chains_and_batches_stay_whole_and_all_else_goes_to_the_other(tmp_path: Path) -> None:
    transport = MemoryTransport(MemoryBroker())
    later_one, other = tmp_path / "later.db", tmp_path / "other.db"

    def scheduler(db: Path) -> Scheduler:
        return Scheduler(transport, SchedulerOptions(db=db))

    def worker(queue: str) -> Worker:
        return Worker(transport, WorkerOptions(queues=(queue,)), in_thread=False)

    async with Bus(settings=Settings(), transport=transport) as bus:
        async with running(scheduler(later_one)):
            [_, second, _] = await dispatch_all(bus)
        async with running(scheduler(other)):
            assert await handed_over(transport, later_one) == 3 + 2 + 1
            await taken_in(bus, (2, 1, 2))
            # Decided anew, by whom it is now.
            again = await bus.dispatch(Single(key="unique"))
            assert (await bus.status(again)).state == "parked"
            async with running(worker("default")):
                await ran("plain", "unique", "narrow 1", "narrow 2")
        assert sorted(RAN) == ["narrow 1", "narrow 2", "plain", "unique"]

        RAN.clear()
        async with running(scheduler(later_one)), running(worker("default")):
            await ran("then", "chain 1")
            async with asyncio.timeout(TIMEOUT):
                while not await bus.requests.call("failed.list"):
                    pass
                # What has run is not over before the scheduler has committed that.
                while (await bus.requests.call("sizes"))["default"]["released"]:
                    pass
        # It leaves once more: with its failed record goes the rest of the chain.
        async with running(scheduler(other)):
            assert await handed_over(transport, later_one) == 1
            assert await bus.requests.call("failed.list") == []
        BROKEN.clear()
        async with running(scheduler(later_one)), running(worker("default")):
            await bus.requests.call("failed.retry", ids=[second])
            await ran("chain 3")
    assert [key for key in RAN if key.startswith("chain")] == ["chain 1", "chain 2", "chain 3"]
    assert len(RAN) == len(set(RAN)) == 6
    assert RAN.index("then") > max(RAN.index("part 1"), RAN.index("part 2"))


async def taken_in(bus: Bus, wanted: tuple[int, int, int]) -> None:
    """So many wait, are delayed and wait for their turn."""
    async with asyncio.timeout(TIMEOUT):
        while wanted != ((s := await bus.size("default")).parked, s.delayed, s.held):
            pass


async def handed_over(transport: MemoryTransport, db: Path) -> int:
    """Everything that may go; how many jobs stay."""
    store = await Store.open(db)
    sender = Sender(transport, Topics(), "routeq-handover-test", clock=SystemClock())
    sender.link.start()
    try:
        await sender.link.ready()
        return await Handover(store, sender).run(())
    finally:
        await sender.link.close()
        await store.close()
