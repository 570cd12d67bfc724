"""The logs of scheduler and embedded broker on a small disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from routeq_broker.clock import Clock
from routeq_broker.storage.entry import Entry
from routeq_broker.storage.journal import SqliteJournal
from routeq_mqtt.scheduler.store.store import Store
from tests.edge.disks import small_disk, taken
from tests.scheduler.test_store import row


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 16) as folder:
        yield folder


async def test_the_log_of_the_scheduler_leaves_the_disk_to_its_rows(disk: Path) -> None:
    """40 MB pass through a database that holds 0.4 MB at most; nobody writes the log back."""
    store = await Store.open(disk / "routeq.db")
    try:
        for number in range(100):
            ids = [f"{number}-{one}" for one in range(100)]
            await store.take([row(one, envelope=b"e" * 4_000) for one in ids])
            await store.done([(one, 1, True) for one in ids], 0.0)
            while await store.purge(1e9):
                pass
            assert taken(disk) < 8_000_000
    finally:
        await store.close()


async def test_the_log_of_the_embedded_broker_does_the_same(disk: Path) -> None:
    journal = SqliteJournal(disk / "broker.db", Clock())
    await journal.open()
    for number in range(2_000):
        entry = Entry(number, "$queue/q", bytes(4_000), group=("routeq", "q"))
        journal.save(entry)
        await _safe(journal)
        journal.forget(entry)
        await _safe(journal)
        assert taken(disk) < 3_000_000
    await journal.close()


async def _safe(journal: SqliteJournal) -> None:
    safe = asyncio.Event()
    journal.then(safe.set)
    await safe.wait()
