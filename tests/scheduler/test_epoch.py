"""A database that was copied, restored or taken over does not take over a bus that went on."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from routeq_mqtt import Bus, Job, StaleDatabase
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.presence.status import SchedulerStatus, encode
from routeq_mqtt.scheduler.lifecycle.epoch import Epoch
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import Message
from routeq_mqtt.wire.messages.epoch import EpochClaim
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker
from tests.cluster.recorder import TIMEOUT
from tests.scheduler.test_seven_days import running

RAN: Counter[str] = Counter()
JOBS = 20


class Counted(Job):
    async def handle(self) -> None:
        RAN[str(self.job_id)] += 1


def scheduler(transport: MemoryTransport, db: Path, *, force: bool = False) -> Scheduler:
    return Scheduler(transport, SchedulerOptions(db=db, force=force))


async def copied(db: Path, to: Path) -> Path:
    """As an operator's backup is: the file, with its log written back."""
    for part in ("", "-wal"):
        if (source := Path(f"{db}{part}")).exists():
            shutil.copy(source, f"{to}{part}")
    return to


async def ended(service: Scheduler) -> BaseException | None:
    async with asyncio.timeout(TIMEOUT):
        [end] = await asyncio.gather(service.run(), return_exceptions=True)
    return end


async def test_an_older_copy_is_refused_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    transport = MemoryTransport(MemoryBroker())
    db = tmp_path / "routeq.db"
    async with running(scheduler(transport, db)):
        pass
    old = await copied(db, tmp_path / "backup.db")
    async with running(scheduler(transport, db)):
        pass

    error = await ended(scheduler(transport, old))

    assert isinstance(error, StaleDatabase)
    assert f"--db={old} is an older copy: its epoch is 2" in str(error)
    assert f"(db={db} on " in str(error)
    assert "--force" in str(error)
    async with running(scheduler(transport, db)):  # the newest is welcome as ever
        pass
    async with running(scheduler(transport, old, force=True)):
        pass
    error = await ended(scheduler(transport, db))  # now this one is behind
    assert isinstance(error, StaleDatabase)


async def test_a_backup_of_the_same_run_is_older_once_the_epoch_has_advanced(
    tmp_path: Path,
) -> None:
    """A scheduler runs for months; what it advances while it does is what makes a backup old."""
    db = tmp_path / "routeq.db"
    store = await Store.open(db)
    own = SchedulerStatus(instance="one", state="online", host="h", db=str(db))
    epoch = Epoch(store.database, Topics(), SystemClock(), own)
    await epoch.claim({}, db)
    await epoch.advance(None)
    before = epoch.number
    await epoch.advance(None)
    assert epoch.number == before, "nothing was written"
    old = await copied(db, tmp_path / "backup.db")
    await store.done([("job", 1, True)], 0.0)
    await epoch.advance(None)
    assert epoch.number == before + 1
    seen = {epoch.lineage: EpochClaim(epoch=epoch.number, instance="one", db=str(db), host="h")}
    await store.close()

    restored = await Store.open(old)
    try:
        assert restored.database.lineage == epoch.lineage
        with pytest.raises(StaleDatabase, match=f"its epoch is {before}"):
            await Epoch(restored.database, Topics(), SystemClock(), own).claim(seen, old)
    finally:
        await restored.close()


async def test_one_that_was_suspended_leaves_to_the_copy_that_went_on(tmp_path: Path) -> None:
    transport = MemoryTransport(MemoryBroker())
    db = tmp_path / "routeq.db"
    suspended = scheduler(transport, db)
    running_on = asyncio.create_task(suspended.run())
    await suspended.online.wait()
    async with Bus(settings=Settings(), transport=transport) as bus:
        ids = [(await bus.dispatch(Counted(), confirm="stored")).id for _ in range(JOBS)]
        copy = await copied(db, tmp_path / "copy.db")
        await seems_dead(bus, suspended)

        async with running(scheduler(transport, copy)):
            async with asyncio.timeout(TIMEOUT):
                [end] = await asyncio.gather(running_on, return_exceptions=True)
            assert isinstance(end, StaleDatabase)
            assert f"another scheduler uses a newer copy of --db={db}" in str(end)
            assert "--force" in str(end)
            options = WorkerOptions(queues=("default",))
            async with running(Worker(transport, options, in_thread=False)):
                async with asyncio.timeout(TIMEOUT):
                    while not set(ids) <= RAN.keys():
                        await asyncio.sleep(0)
                await bus.requests.call("sizes")
    assert {job: RAN[job] for job in ids} == dict.fromkeys(ids, 1)
    left = await Store.open(db)
    try:
        assert {(await left.get(job)).state for job in ids} == {"parked"}  # type: ignore[union-attr]
    finally:
        await left.close()


async def seems_dead(bus: Bus, one: Scheduler) -> None:
    """As its Last Will does: it does not answer while it is suspended."""
    connection = await bus.sender.link.ready()
    status = replace(one._presence.status, state="lost")
    await connection.publish(bus.sender.topics.scheduler, encode(status), retain=True)


async def test_another_database_is_no_copy_and_the_log_names_the_last_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    transport = MemoryTransport(MemoryBroker())
    async with running(scheduler(transport, tmp_path / "one.db")):
        pass
    with caplog.at_level(logging.WARNING):
        async with running(scheduler(transport, tmp_path / "other.db")):
            pass
    assert f"used another database db={tmp_path / 'one.db'}" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        async with running(scheduler(transport, tmp_path / "other.db")):
            pass
    assert "another database" not in caplog.text


@pytest.mark.parametrize("payload", [b"?", b"{}", json.dumps({"epoch": 1 << 60}).encode()])
async def test_what_cannot_be_a_claim_stops_no_scheduler(tmp_path: Path, payload: bytes) -> None:
    transport = MemoryTransport(MemoryBroker())
    db = tmp_path / "routeq.db"
    async with Bus(settings=Settings(), transport=transport) as bus:
        async with running(scheduler(transport, db)):
            store_lineage = await lineage(bus)
            connection = await bus.sender.link.ready()
            await connection.publish(bus.sender.topics.epoch(store_lineage), payload, retain=True)
            await bus.requests.call("ping")
        async with running(scheduler(transport, db)):
            assert await lineage(bus) == store_lineage


async def lineage(bus: Bus) -> str:
    """Of the database that is in use."""
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def fold(message: Message) -> None:
        if not found.done():
            found.set_result(str(bus.sender.topics.lineage_of(message.topic)))

    await bus.sender.listen([bus.sender.topics.epoch("+")], fold)
    async with asyncio.timeout(TIMEOUT):
        return await found
