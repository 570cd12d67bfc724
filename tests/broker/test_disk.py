"""The disk is full, or the database damaged: the broker says so, refuses jobs, and recovers."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from routeq_broker import Broker
from routeq_broker.storage import journal
from routeq_broker.storage.database import Database
from tests.broker.conftest import Start
from tests.broker.wire import PUBACK, Wire, publish


class Disk:
    """What the database does, with errors of SQLite's while it is broken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: Exception | None = None
        write = Database.write

        def writing(database: Database, batch: Any) -> None:
            if self.error is not None:
                raise self.error
            write(database, batch)

        monkeypatch.setattr(Database, "write", writing)
        monkeypatch.setattr(journal, "_TRY_AGAIN", 0.05)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


ERRORS = [
    sqlite3.OperationalError("database or disk is full"),
    sqlite3.DatabaseError("database disk image is malformed"),
    OSError("I/O error"),
    RuntimeError("what nobody thought of"),
]


async def failing(broker: Broker, wire: Wire) -> None:
    """Publish until the broker has noticed."""
    wire.send(publish("$queue/q", b"first", level=wire.level, qos=1, mid=1))
    async with asyncio.timeout(10):
        while not broker._journal.failing:  # type: ignore[union-attr]
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_jobs_are_refused_and_everything_else_goes_on(
    start: Start, tmp_path: Path, disk: Disk, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "broker.db"
    broker = await start(db=path)
    reader = await Wire.login(broker.port, "reader")
    await reader.subscribe(("t", 1))
    wire = await Wire.login(broker.port, "c", 5)
    disk.error = error
    await failing(broker, wire)
    other = await Wire.login(broker.port, "other", 5)
    assert (await other.publish("$queue/q", b"no", mid=2)).code == 0x97
    assert (await other.publish("t", b"plain", mid=3)).code == 0
    old = await Wire.login(broker.port, "old")
    old.send(publish("$queue/q", b"no", qos=1))
    assert await old.next() is None
    persistent = await Wire.login(broker.port, "p", clean=False)
    assert await persistent.subscribe(("t", 1)) == [1]
    assert [got.payload for got in await reader.barrier()] == [b"plain"]
    assert any("cannot commit" in line and str(error) in line for line in caplog.messages)
    disk.error = None
    assert (await wire.get(PUBACK)).code == 0  # the one that waited
    assert (await wire.publish("$queue/q", b"second", mid=4)).code == 0
    assert any("commits work again" in line for line in caplog.messages)
    await broker.stop()
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT payload FROM entries ORDER BY number").fetchall()
    assert [row[0] for row in rows if row[0] != b"plain"] == [b"first", b"second"]


async def test_it_stops_although_it_cannot_write(
    start: Start, tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await start(db=tmp_path / "broker.db")
    wire = await Wire.login(broker.port, "c")
    disk.error = ERRORS[0]
    await failing(broker, wire)
    async with asyncio.timeout(10):
        await broker.stop()
    assert any("not written at the end: messages=1" in line for line in caplog.messages)


async def test_a_file_that_is_damaged_while_it_runs(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Really damaged, without a trick: jobs are refused, and SIGTERM's `stop` ends it."""
    monkeypatch.setattr(journal, "_TRY_AGAIN", 0.05)
    path = tmp_path / "broker.db"
    broker = await start(db=path)
    wire = await Wire.login(broker.port, "c", 5)
    for number in range(50):
        await wire.publish("$queue/q", b"x" * 1_000, mid=number + 1)
    broker._journal._database.close()  # type: ignore[union-attr]
    path.write_bytes(b"no database at all" * 1_000)
    for other in (path.with_name("broker.db-wal"), path.with_name("broker.db-shm")):
        other.unlink(missing_ok=True)
    await failing(broker, wire)
    other_wire = await Wire.login(broker.port, "other", 5)
    assert (await other_wire.publish("$queue/q", b"no")).code == 0x97
    async with asyncio.timeout(10):
        await broker.stop()
