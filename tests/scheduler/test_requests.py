"""A request is answered behind the commit of what its producer sent before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import Bus, DispatchTimeout
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.scheduler.store.engines.engine import Held
from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
from routeq_mqtt.scheduler.store.rows import NewRow
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID
from tests.cluster.jobs import Report


class SlowStore(Store):
    """Takes rows in when it is let."""

    def __init__(self, database: Any) -> None:
        super().__init__(database)
        self.may_take = asyncio.Event()

    async def take(self, rows: Sequence[NewRow], **more: Any) -> int:
        await self.may_take.wait()
        return await super().take(rows, **more)


@pytest.mark.parametrize("method", ["cancel", "status"])
async def test_a_request_does_not_overtake_the_job_that_it_is_about(
    tmp_path: Path, method: str
) -> None:
    transport = MemoryTransport(MemoryBroker())
    store = await SlowStore.open(tmp_path / "routeq.db")
    assert isinstance(store, SlowStore)

    async def opened(path: DatabasePlace, held: Held | None) -> Store:
        return store

    scheduler = Scheduler(transport, SchedulerOptions(db=tmp_path / "routeq.db"), open_store=opened)
    running = asyncio.create_task(scheduler.run())
    await scheduler.online.wait()
    async with Bus(settings=Settings(), transport=transport) as bus:
        handle = await bus.dispatch(Report(key="x"), delay=3600)
        asking = asyncio.create_task(getattr(bus, method)(handle))
        # Behind that request, and answered at once: by then the scheduler has had it.
        while not asking.done():
            await bus.requests.call("ping")
            await bus.requests.call("failed.list")
            store.may_take.set()
            await asyncio.wait({asking}, timeout=1.0)
        answer = asking.result()
        assert answer == "cancelled" if method == "cancel" else answer.state == "delayed"
    scheduler.stop()
    await running


async def test_a_request_that_waited_for_the_scheduler_is_answered(tmp_path: Path) -> None:
    """It comes with the CONNACK, while the scheduler has no connection yet to answer on."""
    broker = MemoryBroker()
    transport = MemoryTransport(broker)
    options = SchedulerOptions(db=tmp_path / "routeq.db")
    first = Scheduler(transport, options)
    running = asyncio.create_task(first.run())
    await first.online.wait()
    async with Bus(settings=Settings(), transport=transport) as bus:
        await bus.requests.call("ping")
        first.stop()
        await running
        asking = asyncio.create_task(bus.requests.call("ping"))
        storing = asyncio.create_task(bus.dispatch(Report(key="x"), confirm="stored"))
        while len(broker.holds(SCHEDULER_CLIENT_ID)) < 2:
            await asyncio.sleep(0)
        second = Scheduler(transport, options)
        running = asyncio.create_task(second.run())
        assert (await asking)["state"]
        assert await storing
    second.stop()
    await running


async def test_a_scheduler_that_has_left_is_told_from_a_broker_that_is_silent(
    tmp_path: Path,
) -> None:
    transport = MemoryTransport(MemoryBroker())
    scheduler = Scheduler(transport, SchedulerOptions(db=tmp_path / "routeq.db"))
    running = asyncio.create_task(scheduler.run())
    await scheduler.online.wait()
    scheduler.stop()
    await running
    said = "the scheduler did not answer within 0.1 s; is it running"
    async with Bus(settings=Settings(), transport=transport) as bus:
        for asked in (
            bus.dispatch(Report(key="x"), confirm="stored", timeout=0.1),
            bus.dispatch(Report(key="x"), to="gateway-1", timeout=0.1),
            bus.bulk([Report(key="x")], confirm="stored", timeout=0.1),
            bus.broadcast(Report(key="x"), timeout=0.1),
        ):
            with pytest.raises(DispatchTimeout, match=said):
                await asked
