"""What follows on the end of a batch's jobs, transaction by transaction, without a bus."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt.scheduler.features.admission import Admission
from routeq_mqtt.scheduler.features.uniqueness import special
from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
from routeq_mqtt.scheduler.store.orders import OrderBook
from routeq_mqtt.scheduler.store.rows import NewBatch, NewFailed, NewRow
from routeq_mqtt.scheduler.store.schema.schema import MIGRATIONS
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.wire.envelopes.callbacks import CATCH, FINALLY, THEN
from routeq_mqtt.wire.envelopes.envelope import Envelope

BEFORE_ONE_TRIGGER = 11
"""The schema version in which two triggers decided on the callbacks of a batch."""

STEPS = {"then": THEN, "catch": CATCH, "finally": FINALLY}


@pytest.fixture
async def store(place: DatabasePlace) -> AsyncIterator[Store]:
    one = await Store.open(place)
    yield one
    await one.close()


def row(job_id: str, queue: str = "q", **options: Any) -> NewRow:
    envelope = Envelope(id=job_id, job="J", queue=queue, options=options)
    plain = NewRow(
        id=job_id, queue=queue, attempt=1, deliveries=1, state="parked", run_at=0.0, durable=True,
        expires_at=None, envelope=envelope.encode(),
    )  # fmt: skip
    return special(plain, envelope, 0.0)


async def begin(store: Store, *members: str, queue: str = "q") -> None:
    callbacks = [row(name, queue, chain="batch:b", step=step) for name, step in STEPS.items()]
    rows = [*callbacks, *(row(name, "members", batch="b") for name in members)]
    batch = NewBatch(id="b", name=None, open=False)
    await Admission(store.database, OPEN).take(rows, 0.0, batches=[batch])


async def fail(store: Store, *ids: str) -> None:
    records = [
        NewFailed(
            id=job_id, queue="members", job="J", reason="exception", error="E", worker=None,
            failed_at=3.0, record=b"", proven=True,
        )
        for job_id in ids
    ]  # fmt: skip
    await store.fail(records, 3.0)


async def retry(store: Store, job_id: str) -> None:
    await store.failed_retry([job_id], [row(job_id, "members", batch="b")])


async def free(store: Store, queue: str = "q") -> set[str]:
    return {one.id for one in await store.parked(queue, 100)}


async def fates(store: Store) -> dict[str, str | None]:
    """Of the callbacks: how each ended; None: it has not."""
    found = await store.database.read("SELECT id, state, outcome FROM jobs WHERE queue = 'q'")
    return {name: outcome if state == "done" else None for name, state, outcome in found}


async def fails_last(store: Store) -> None:
    await store.done([("1", 1, True)], 2.0)
    await fail(store, "2")


async def fails_first(store: Store) -> None:
    await fail(store, "1")
    await store.done([("2", 1, True)], 4.0)


async def both_fail_at_once(store: Store) -> None:
    await fail(store, "1", "2")


@pytest.mark.parametrize("ends", [fails_last, fails_first, both_fail_at_once])
async def test_catch_and_finally_run_whichever_job_fails(
    store: Store, ends: Callable[[Store], Coroutine[Any, Any, None]]
) -> None:
    await begin(store, "1", "2")
    await ends(store)
    assert await free(store) == {"catch", "finally"}


async def test_catch_runs_for_a_batch_of_one_job(store: Store) -> None:
    await begin(store, "1")
    await fail(store, "1")
    assert await free(store) == {"catch", "finally"}


async def test_a_batch_that_an_older_version_began_runs_its_catch(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    old = sqlite3.connect(path)
    for script in MIGRATIONS[:BEFORE_ONE_TRIGGER]:
        old.executescript(script)
    old.executescript("""
        INSERT INTO batches (id, created_at, changed_at, open) VALUES ('b', 0, 0, 0);
        INSERT INTO jobs (id, queue, attempt, deliveries, state, run_at, seq, durable, envelope,
            special, batch) VALUES ('1', 'members', 1, 1, 'parked', 0, 1, 1, x'', 1, 'b');
        INSERT INTO jobs (id, queue, attempt, deliveries, state, run_at, seq, durable, envelope,
            special, chain, step) VALUES ('catch', 'q', 1, 1, 'held', 0, 2, 1, x'', 1,
            'batch:b', 20);
    """)
    old.execute(f"PRAGMA user_version = {BEFORE_ONE_TRIGGER}")
    old.close()
    store = await Store.open(path)
    await fail(store, "1")
    assert await free(store) == {"catch"}
    await store.close()


async def test_then_waits_for_a_failed_job_and_runs_once_it_was_run_again(store: Store) -> None:
    await begin(store, "1", "2")
    await fails_last(store)
    await store.done([("catch", 1, True), ("finally", 1, True)], 5.0)
    assert (await store.counts())["q"].held == 1
    await retry(store, "2")
    assert await free(store) == set()
    await store.done([("2", 1, True)], 6.0)
    assert await free(store) == {"then"}
    await store.done([("then", 1, True)], 7.0)
    assert (await store.counts()).get("q") is None


async def test_then_is_not_needed_once_a_failed_job_was_forgotten(store: Store) -> None:
    await begin(store, "1", "2")
    await fails_last(store)
    await store.failed_forget(["2"])
    assert await fates(store) == {"then": "not needed", "catch": None, "finally": None}


async def test_a_batch_that_is_forgotten_leaves_no_callback_behind(store: Store) -> None:
    await begin(store, "1")
    await fail(store, "1")
    await store.database.write("DELETE FROM batches WHERE id = ?", [("b",)])
    assert (await fates(store))["then"] == "not needed"


async def test_forgetting_a_failed_callback_leaves_the_others(store: Store) -> None:
    await begin(store, "1", "2")
    await fail(store, "1")
    assert await free(store) == {"catch"}
    await fail(store, "catch")
    await store.failed_forget(["catch"])
    await store.done([("2", 1, True)], 4.0)
    assert await free(store) == {"finally"}


async def test_a_purge_of_their_queue_leaves_callbacks_that_wait_for_their_batch(
    store: Store,
) -> None:
    await begin(store, "1")
    await OrderBook(store.database).purge("q", 1.0)
    assert await fates(store) == dict.fromkeys(STEPS)
    await OrderBook(store.database).purge("members", 2.0)
    assert await free(store) == {"finally"}
    assert (await fates(store))["then"] == (await fates(store))["catch"] == "not needed"
    assert await OrderBook(store.database).purge("q", 3.0) == 1
