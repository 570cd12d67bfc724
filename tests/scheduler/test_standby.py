"""A scheduler that waits for the database of another one, and takes over when that has ended."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from routeq_mqtt import Bus, ConfigurationError, Job, SchedulerRunning, StaleDatabase
from routeq_mqtt.bus.features.standbys import find_standbys
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.presence.standbys import Standbys
from routeq_mqtt.presence.status import SILENT_AFTER
from routeq_mqtt.scheduler.lifecycle.single_instance import refuse_second
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.scheduler.store.lock import FileLock
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import ConnectOptions, Message
from routeq_mqtt.wire.observe.standby import StandbyStatus
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker
from tests.cluster.recorder import TIMEOUT
from tests.scheduler.test_seven_days import running

RAN: Counter[str] = Counter()


class Inherited(Job):
    async def handle(self) -> None:
        RAN[str(self.job_id)] += 1


def leader(transport: MemoryTransport, db: Path) -> Scheduler:
    return Scheduler(transport, SchedulerOptions(db=db))


def standby(transport: MemoryTransport, db: Path) -> Scheduler:
    return Scheduler(transport, SchedulerOptions(db=db, standby=True))


@asynccontextmanager
async def waiting(service: Scheduler) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(service.run())
    async with asyncio.timeout(TIMEOUT):
        await service.ready.wait()
    assert not service.online.is_set()
    try:
        yield task
    finally:
        service.stop()
        await asyncio.wait({task})


def restore(backup: Path, db: Path) -> None:
    """As docs/operations.md has it, but under a scheduler that runs."""
    backup.replace(db)
    for left in ("-wal", "-shm"):
        Path(f"{db}{left}").unlink(missing_ok=True)


async def waits(bus: Bus, number: int) -> list[StandbyStatus]:
    """The standbys, once there are so many."""
    async with asyncio.timeout(TIMEOUT):
        while len(found := await find_standbys(bus.sender)) != number:
            pass
    return found


async def test_a_standby_waits_says_so_and_continues_with_the_rows_of_the_leader(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    transport = MemoryTransport(MemoryBroker())
    db = tmp_path / "routeq.db"
    second = standby(transport, db)
    async with Bus(settings=Settings(), transport=transport) as bus:
        async with running(leader(transport, db)):
            job = await bus.dispatch(Inherited(), confirm="stored")
            async with asyncio.timeout(TIMEOUT):
                task = asyncio.create_task(second.run())
                await second.ready.wait()
            [status] = await waits(bus, 1)
            assert (status.db, status.pid) == (str(db), bus.sender.surroundings.scheduler.pid)  # type: ignore[union-attr]
            assert "routeq_scheduler_standbys 1\n" in await bus.requests.call("metrics")
            assert not second.online.is_set()
        async with asyncio.timeout(TIMEOUT):
            await second.online.wait()
        await waits(bus, 0)
        async with running(Worker(transport, WorkerOptions(), in_thread=False)):
            async with asyncio.timeout(TIMEOUT):
                while not RAN[job.id]:
                    await asyncio.sleep(0)
    second.stop()
    await task
    assert f"standby, the leader is host={status.host} pid={status.pid}" in caplog.text


async def test_one_that_finds_its_database_free_leads_at_once(tmp_path: Path) -> None:
    transport = MemoryTransport(MemoryBroker())
    async with (
        running(standby(transport, tmp_path / "routeq.db")),
        Bus(settings=Settings(), transport=transport) as bus,
    ):
        await bus.requests.call("ping")
        assert await find_standbys(bus.sender) == []


async def test_a_standby_that_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    transport = MemoryTransport(MemoryBroker())
    db = tmp_path / "routeq.db"
    async with (
        running(leader(transport, db)),
        Bus(settings=Settings(), transport=transport) as bus,
    ):
        async with waiting(standby(transport, db)) as task:
            await waits(bus, 1)
        assert task.exception() is None
        assert await find_standbys(bus.sender) == []
        await bus.requests.call("ping")


async def test_of_two_standbys_one_takes_over_and_the_other_goes_on_waiting(
    tmp_path: Path,
) -> None:
    transport = MemoryTransport(MemoryBroker())
    db = tmp_path / "routeq.db"
    both = [standby(transport, db), standby(transport, db)]
    async with Bus(settings=Settings(), transport=transport) as bus:
        first = leader(transport, db)
        leading = asyncio.create_task(first.run())
        await first.online.wait()
        async with waiting(both[0]), waiting(both[1]):
            await waits(bus, 2)
            first.stop()
            await leading
            online = [asyncio.create_task(one.online.wait()) for one in both]
            await asyncio.wait(online, return_when=asyncio.FIRST_COMPLETED, timeout=TIMEOUT)
            await waits(bus, 1)
            assert sum(one.online.is_set() for one in both) == 1
            for task in online:
                task.cancel()


async def test_a_standby_of_another_file_does_not_lead_a_bus_that_is_led(tmp_path: Path) -> None:
    transport = MemoryTransport(MemoryBroker())
    db = tmp_path / "routeq.db"
    async with running(leader(transport, db)):
        copy = Path(shutil.copy(db, tmp_path / "copy.db"))
        for other in (copy, tmp_path / "new.db"):
            with pytest.raises(SchedulerRunning, match=f"db={db}"):
                await standby(transport, other).run()
            FileLock(other).release()  # it keeps no lock that another one might need


async def test_a_standby_whose_file_was_replaced_by_an_older_copy_does_not_take_over(
    tmp_path: Path,
) -> None:
    """Somebody restores a backup under a leader that runs: what it does next is in no backup."""
    transport = MemoryTransport(MemoryBroker())
    db = tmp_path / "routeq.db"
    async with running(leader(transport, db)):
        pass
    old = Path(shutil.copy(db, tmp_path / "backup.db"))
    first = leader(transport, db)
    leading = asyncio.create_task(first.run())
    await first.online.wait()
    async with waiting(standby(transport, db)) as task:
        first.stop()
        restore(old, db)
        await leading
        async with asyncio.timeout(TIMEOUT):
            await asyncio.wait({task})
        assert isinstance(task.exception(), StaleDatabase)
        assert f"--db={db} is an older copy: its epoch is 2" in str(task.exception())
    FileLock(db).release()


async def test_a_scheduler_that_may_not_wait_names_the_flag(tmp_path: Path) -> None:
    held = FileLock(tmp_path / "routeq.db")
    with pytest.raises(ConfigurationError, match="--standby"):
        await leader(MemoryTransport(MemoryBroker()), tmp_path / "routeq.db").run()
    held.release()


def test_the_status_of_a_standby_that_is_silent_is_dropped() -> None:
    topics = Topics()
    known = Standbys(topics)
    for number, instance in enumerate("ab"):
        topic, status = topics.standby(instance), StandbyStatus(instance=instance)
        assert known.fold(topic, status.encode(), now=10.0 * number)
    assert not known.fold(topics.scheduler, b"{}", now=0.0)
    known.fold(topics.standby("c"), b"no JSON", now=0.0)
    assert [one.instance for one in known.waiting()] == ["a", "b"]
    assert known.drop_silent(SILENT_AFTER + 5.0) == [topics.standby("a")]
    assert [one.instance for one in known.waiting()] == ["b"]
    known.fold(topics.standby("b"), b"", now=0.0)
    assert known.waiting() == []


async def test_the_leader_clears_a_standby_that_died_with_its_broker(tmp_path: Path) -> None:
    transport = MemoryTransport(MemoryBroker())
    service = leader(transport, tmp_path / "routeq.db")
    async with running(service), Bus(settings=Settings(), transport=transport) as bus:
        topic = bus.sender.topics.standby("gone")
        connection = await bus.sender.link.ready()
        status = StandbyStatus(instance="gone")
        await connection.publish(topic, status.encode(), retain=True)
        await waits(bus, 1)
        watch = service._roles.observers.standby_watch  # type: ignore[union-attr]
        watch.standbys._heard_at["gone"] = -SILENT_AFTER
        watch.clear_silent()
        await waits(bus, 0)


@pytest.mark.parametrize("is_ours", [True, False])
async def test_a_leader_that_was_frozen_and_still_answers_has_time_to_leave(
    tmp_path: Path, *, is_ours: bool
) -> None:
    """Its lease ran out, another one has it, and both would have left: it has yet to find out."""
    transport, db, asked = MemoryTransport(MemoryBroker()), tmp_path / "routeq.db", asyncio.Event()

    def fold(message: Message) -> None:
        asked.set()

    async with running(leader(transport, db)):
        spy = await transport.connect(ConnectOptions("spy"), fold)
        await spy.subscribe(Topics().rpc("ping"))
        ours = str(db) if is_ours else "postgresql:///other"
        successor = asyncio.create_task(
            refuse_second(transport, Topics(), SystemClock(), ours=ours)
        )
        await asked.wait()
        if not is_ours:
            with pytest.raises(SchedulerRunning):
                await successor
        asked.clear()
        if is_ours:
            await asked.wait()  # it asks again
    if is_ours:
        async with asyncio.timeout(TIMEOUT):
            await successor
    await spy.close()
