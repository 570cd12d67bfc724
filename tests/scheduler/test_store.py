"""The scheduler's SQLite: real files, every state, counts, migrations and a disk that fails."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import ConfigurationError
from routeq_mqtt.scheduler.store.database import Database
from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
from routeq_mqtt.scheduler.store.engines.sqlite import SqliteEngine
from routeq_mqtt.scheduler.store.orders import OrderBook
from routeq_mqtt.scheduler.store.rows import (
    Counts,
    GivenId,
    GivenNow,
    NewFailed,
    NewRow,
    Row,
    StoreUnavailable,
)
from routeq_mqtt.scheduler.store.schema.schema import MIGRATIONS
from routeq_mqtt.scheduler.store.store import Store


@pytest.fixture
async def store(place: DatabasePlace) -> AsyncIterator[Store]:
    one = await Store.open(place)
    yield one
    await one.close()


def row(job_id: str, **changes: Any) -> NewRow:
    fields: dict[str, Any] = {
        "id": job_id, "queue": "q", "attempt": 1, "deliveries": 1, "state": "parked",
        "run_at": 0.0, "durable": False, "expires_at": None, "envelope": b"e",
        # What has an attempt or a delivery behind it comes from a worker.
        "proven": bool({"attempt", "deliveries", "charged"} & changes.keys()),
    }  # fmt: skip
    return NewRow(**fields | changes)


def failed(job_id: str, **changes: Any) -> NewFailed:
    fields: dict[str, Any] = {
        "id": job_id, "queue": "q", "job": "J", "reason": "exception", "error": "e",
        "worker": "w", "failed_at": 1.0, "record": b"r", "proven": True,
    }  # fmt: skip
    return NewFailed(**fields | changes)


async def release(store: Store, *ids: str) -> list[Row]:
    rows = [await store.get(job_id) for job_id in ids]
    return await store.release([one for one in rows if one is not None])


async def test_parked_rows_come_in_the_order_of_arrival(store: Store) -> None:
    await store.take([row("b"), row("a")])
    await store.take([row("c"), row("x", queue="other")])
    found = await store.parked("q", 10)
    assert [one.id for one in found] == ["b", "a", "c"]
    assert [one.id for one in await store.parked("q", 10, after=found[0].seq)] == ["a", "c"]
    assert await store.parked_queues() == ["other", "q"]


async def test_delayed_rows_come_when_they_are_due(store: Store) -> None:
    await store.take([row(str(at), state="delayed", run_at=at) for at in (30.0, 10.0, 20.0)])
    assert await store.next_due() == 10.0
    assert [one.run_at for one in await store.due(lambda: 20.0, 10)] == [10.0, 20.0]
    assert [one.run_at for one in await store.due(lambda: 20.0, 1)] == [10.0]
    await release(store, "10.0", "20.0", "30.0")
    assert await store.next_due() is None


async def test_a_second_copy_of_an_attempt_changes_nothing(store: Store) -> None:
    assert await store.take([row("1", envelope=b"first")]) == 1
    assert await store.take([row("1", envelope=b"again")]) == 0
    await release(store, "1")
    assert await store.take([row("1")]) == 0
    assert await store.take([row("1", attempt=2, envelope=b"second", state="delayed")]) == 1
    found = await store.get("1")
    assert found is not None
    assert (found.attempt, found.state, found.envelope) == (2, "delayed", b"second")


async def test_what_is_done_never_comes_back(store: Store) -> None:
    await store.take([row("1", durable=True)])
    await release(store, "1")
    assert await store.done([("1", 1, True)], at=5.0) == 1
    assert await store.done([("1", 1, True)], at=6.0) == 0
    assert await store.take([row("1", attempt=9)]) == 0
    assert await store.restore([row("1", attempt=9)]) == 0
    await store.park(["1"])
    found = await store.get("1")
    assert found is not None
    assert (found.state, found.envelope) == ("done", b"")


async def test_an_outcome_of_an_earlier_attempt_ends_no_later_one(store: Store) -> None:
    await store.take([row("1", attempt=2)])
    assert await store.done([("1", 1, True)], at=1.0) == 0
    assert await store.done([("nobody", 1, True)], at=1.0) == 0


async def test_restore_takes_back_only_what_is_released_and_once(store: Store) -> None:
    await store.take([row("parked"), row("out")])
    await release(store, "out")
    assert await store.restore([row("parked", deliveries=2), row("out", deliveries=2)]) == 1
    assert await store.restore([row("out", deliveries=2)]) == 0
    assert await store.restore([row("unknown", deliveries=2)]) == 1


async def test_restore_leaves_an_attempt_alone_that_was_handed_over(store: Store) -> None:
    """A worker that dies between a retry and its PUBACK: the retry has a worker already."""
    await store.take([row("1")])
    await release(store, "1")
    await store.take([row("1", attempt=2)])
    await release(store, "1")
    assert await store.restore([row("1", attempt=2, deliveries=2, charged=True)]) == 0
    found = await store.get("1")
    assert found is not None
    assert (found.state, found.attempt, found.deliveries) == ("released", 2, 1)


async def test_counts_follow_every_change(store: Store) -> None:
    await store.take([row("1"), row("2"), row("3", state="delayed", run_at=9.0)])
    await release(store, "1")
    assert await store.counts() == {"q": Counts(delayed=1, parked=1, released=1)}
    await store.fail([failed("1"), failed("x", queue="other")], at=1.0)
    await store.fail([failed("1"), failed("1")], at=2.0)  # again, and doubled
    assert await store.counts() == {
        "q": Counts(delayed=1, parked=1, failed=1),
        "other": Counts(failed=1),
    }
    await store.failed_retry(["1"], [row("1", queue="elsewhere", proven=True)])
    await store.done([("2", 1, True), ("3", 1, True)], at=1.0)
    assert await store.counts() == {"elsewhere": Counts(parked=1), "other": Counts(failed=1)}
    assert await store.failed_flush() == 1
    assert await store.counts() == {"elsewhere": Counts(parked=1)}


@pytest.mark.parametrize("attempt", [1, 2, 3, None])
async def test_a_late_failed_record_does_not_end_a_later_attempt(
    store: Store, attempt: int | None
) -> None:
    await store.take([row("x", attempt=2)])
    await store.fail([failed("x", attempt=attempt)], at=1.0)
    found = await store.get("x")
    assert found is not None
    superseded = attempt == 1
    assert found.state == ("parked" if superseded else "done")
    assert (await store.failed_get("x") is None) == superseded


async def test_a_late_failed_record_of_a_job_that_is_done_is_dropped(store: Store) -> None:
    await store.take([row("x", attempt=2)])
    await store.done([("x", 2, True)], at=1.0)
    for attempt in (1, 2):
        await store.fail([failed("x", attempt=attempt)], at=2.0)
    assert await store.failed_get("x") is None


async def test_what_is_late_does_not_end_a_retry_by_hand(store: Store) -> None:
    """Failed record, retry or message of the life before, though its attempts were more."""
    await store.take([row("x", attempt=3, deliveries=3)])
    await release(store, "x")
    record = failed("x", attempt=3, deliveries=3)
    await store.fail([record], at=1.0)
    await store.failed_retry(["x"], [row("x", deliveries=4)])
    for state in ("parked", "released"):
        await store.fail([record], at=2.0)
        assert await store.take([row("x", attempt=3, deliveries=3)]) == 0
        for died in (False, True):
            again = row("x", attempt=3 + died, deliveries=4, charged=died)
            assert await store.restore([again]) == 0
        assert await store.failed_get("x") is None
        found = await store.get("x")
        assert found is not None
        assert (found.state, found.attempt, found.deliveries) == (state, 1, 4)
        await release(store, "x")
    await store.fail([failed("x", attempt=1, deliveries=4)], at=3.0)
    assert await store.failed_get("x") is not None


async def test_a_failed_record_without_a_row_is_kept(store: Store) -> None:
    await store.fail([failed("x", attempt=1)], at=1.0)
    assert await store.failed_get("x") is not None


async def test_tombstones_go_when_they_are_old(store: Store) -> None:
    await store.take([row("durable", durable=True), row("other")])
    await store.done([("durable", 1, True), ("other", 1, True)], at=100.0)
    assert await store.purge(699.0, keep_durable=1000.0, keep_others=600.0) == 0
    assert await store.purge(701.0, keep_durable=1000.0, keep_others=600.0) == 1
    assert await store.get("durable") is not None
    assert await store.purge(1101.0, keep_durable=1000.0, keep_others=600.0) == 1
    assert await store.get("durable") is None
    assert await store.purge(0.0) == 0


async def test_failed_records_newest_first_and_by_queue(store: Store) -> None:
    await store.fail(
        [failed("1", failed_at=1.0), failed("2", failed_at=2.0, queue="other", job=None)], at=1.0
    )
    assert [one.id for one in await store.failed_list()] == ["2", "1"]
    assert [one.id for one in await store.failed_list(limit=1)] == ["2"]
    assert [one.id for one in await store.failed_list("q")] == ["1"]
    assert await store.failed_ids() == ["1", "2"]
    assert await store.failed_ids("other") == ["2"]
    whole = await store.failed_get("2")
    assert whole is not None
    assert (whole.job, whole.record) == (None, b"r")
    assert await store.failed_get("3") is None
    assert await store.failed_forget(["1", "3"]) == 1
    assert await store.failed_flush("q") == 0
    assert await store.failed_flush("other") == 1


async def test_a_message_without_an_id_keeps_the_one_it_was_given(store: Store) -> None:
    one, two = (GivenId("s", number, 7, b"digest", f"id-{number}") for number in (1, 2))
    await store.take([row("1")], given=GivenNow([one], []))
    await store.restore([row("2")], given=GivenNow([two], []))
    assert await store.given_ids("s") == [one, two]
    assert await store.given_ids("another") == []
    await store.given_over([("s", 1), ("another", 2)])
    assert await store.given_ids("s") == [two]
    await store.forget_given("s")
    assert await store.given_ids("s") == []


async def test_an_id_that_is_given_and_over_in_one_commit_is_over(store: Store) -> None:
    one = GivenId("s", 1, 7, b"digest", "id")
    await store.take([], given=GivenNow([one], [("s", 1)]))
    assert await store.given_ids("s") == []


async def test_nothing_to_do_is_no_error(store: Store) -> None:
    assert await store.take([]) == 0
    assert await store.done([], at=1.0) == 0
    assert await store.failed_forget([]) == 0
    await release(store)
    await store.fail([], at=1.0)


async def test_everything_is_there_after_it_was_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "routeq.db"
    one = await Store.open(path)
    await one.take([row("1"), row("2")])
    await one.fail([failed("x")], at=1.0)
    await one.close()
    again = await Store.open(path)
    await again.take([row("3")])
    assert [found.id for found in await again.parked("q", 10)] == ["1", "2", "3"]
    assert await again.counts() == {"q": Counts(parked=3, failed=1)}
    await again.close()


async def test_one_file_has_one_scheduler(tmp_path: Path) -> None:
    path = tmp_path / "routeq.db"
    one = await Store.open(path)
    with pytest.raises(ConfigurationError, match=r"routeq\.db"):
        await Store.open(path)
    await one.close()
    await (await Store.open(path)).close()


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
async def test_a_database_of_each_earlier_version_becomes_this_one(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "routeq.db"
    old = sqlite3.connect(path)
    for script in MIGRATIONS[:version]:
        old.executescript(script)
    if version:
        old.execute(
            "INSERT INTO jobs (id, queue, attempt, deliveries, state, run_at, seq, "
            "durable, envelope) VALUES ('old', 'q', 1, 1, 'parked', 0, 0, 0, x'')"
        )
    old.execute(f"PRAGMA user_version = {version}")
    old.commit()
    old.close()
    store = await Store.open(path)
    await store.take([row("new")])
    ids = [found.id for found in await store.parked("q", 10)]
    assert ids == (["old", "new"] if version else ["new"])
    assert (await store.counts())["q"].parked == len(ids)
    await store.close()


async def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """The broker's: its version was taken for one of ours, and migrated."""
    path = tmp_path / "broker.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE messages (id); PRAGMA user_version = 4;")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"not one of the scheduler: .* messages; name"):
        await Database.open(path)
    assert path.read_bytes() == before


async def test_a_migration_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "s.db"
    with caplog.at_level("INFO", "routeq_mqtt"):
        await (await Database.open(path)).close()
        assert f"database {path}: made, now version {len(MIGRATIONS)}" in caplog.messages
        caplog.clear()
        await (await Database.open(path)).close()
        assert not caplog.messages
        older = tmp_path / "older.db"
        with contextlib.closing(sqlite3.connect(older)) as db:
            db.executescript("".join(MIGRATIONS[:-1]))
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS) - 1}")
            db.commit()
        await (await Database.open(older)).close()
    last = len(MIGRATIONS)
    assert f"upgraded from schema version {last - 1}, now version {last}" in caplog.text


async def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "routeq.db"
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 999")
    newer.close()
    with pytest.raises(ConfigurationError, match=r"schema version 999, .* upgrade routeq-mqtt"):
        await Store.open(path)


async def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "routeq.db"
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(StoreUnavailable, match=r"routeq\.db is damaged: file is not .* move it"):
        await Store.open(path)
    assert path.read_bytes() == b"no database " * 1000


async def test_a_full_disk_changes_nothing_and_is_over_when_there_is_room(
    sqlite_store: Store,
) -> None:
    await sqlite_store.take([row("1")])
    engine = sqlite_store.database._engine
    assert isinstance(engine, SqliteEngine)
    db = engine._db
    [[pages]] = await db.execute_fetchall("PRAGMA page_count")
    await db.execute_fetchall(f"PRAGMA max_page_count = {pages}")
    big = [row(str(number), envelope=b"x" * 10_000) for number in range(2, 20)]
    with pytest.raises(StoreUnavailable, match="full"):
        await sqlite_store.take(big)
    assert await sqlite_store.counts() == {"q": Counts(parked=1)}
    await db.execute_fetchall("PRAGMA max_page_count = 100000")
    assert await sqlite_store.take(big) == 18


async def test_a_damaged_database_is_unavailable_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "routeq.db"
    one = await Store.open(path)
    await one.take([row(str(number), envelope=bytes(5_000)) for number in range(100)])
    await one.close()
    one = await Store.open(path)
    with path.open("r+b") as file:
        for page in range(path.stat().st_size // 8192, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"damage" * 100)
    with pytest.raises(StoreUnavailable, match=r"damaged: .* malformed; .* recover"):
        await one.parked("q", 1_000)
    with pytest.raises(StoreUnavailable, match="damaged"):
        await one.take([row(f"new {number}", envelope=bytes(5_000)) for number in range(100)])
    await one.close()


async def test_what_changed_since_it_was_read_is_not_released(store: Store) -> None:
    await store.take([row("cancelled"), row("same"), row("later", state="delayed", run_at=5.0)])
    read = [one for one in [await store.get(i) for i in ("cancelled", "same", "later")] if one]
    orders = OrderBook(store.database)
    assert await orders.cancel(["cancelled"], 1.0) == {"cancelled": "cancelled"}
    assert [one.id for one in await store.release(read)] == ["same", "later"]


async def test_the_log_is_written_back_beside_the_commits(tmp_path: Path) -> None:
    path = tmp_path / "routeq.db"
    store = await Store.open(path)
    try:
        for number in range(20):
            await store.take([row(f"{number}", envelope=b"e" * 5_000)])
        before = store.database.written.fired
        assert before >= 20
        await store.database.checkpoint()
        # The file alone, without its log, has all rows now.
        copy = tmp_path / "copy.db"
        copy.write_bytes(path.read_bytes())
        with sqlite3.connect(copy) as alone:
            assert alone.execute("SELECT count(*) FROM jobs").fetchone() == (20,)
        alone.close()
        await store.take([row("one more")])
        assert store.database.written.fired > before
    finally:
        await store.close()
