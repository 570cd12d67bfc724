"""Locks and what takes the place of a waiting job, without a bus and without waiting."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt.scheduler.features.admission import Admission
from routeq_mqtt.scheduler.features.uniqueness import special
from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
from routeq_mqtt.scheduler.store.rows import NewRow
from routeq_mqtt.scheduler.store.schema.schema import MIGRATIONS
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.wire.envelopes.envelope import Envelope

BEFORE_COLUMNS = 15
"""The last schema version in which class and key of a lock were one text."""


@pytest.fixture
async def store(place: DatabasePlace) -> AsyncIterator[Store]:
    one = await Store.open(place)
    yield one
    await one.close()


def row(
    job_id: str,
    *,
    job: str = "Sync",
    key: str = "k",
    queue: str = "q",
    expires_at: float | None = None,
    **options: Any,
) -> NewRow:
    options = {"unique_key": key, **options}
    if not {"debounce_for", "throttle_for"} & options.keys():
        options["unique_for"] = 3600
    envelope = Envelope(
        id=job_id, job=job, queue=queue, data={"id": job_id}, expires_at=expires_at, options=options
    )
    debounced = "debounce_for" in options
    plain = NewRow(
        id=job_id, queue=queue, attempt=1, deliveries=1, state="delayed" if debounced else "parked",
        run_at=5.0, durable=True, expires_at=expires_at, envelope=envelope.encode(),
    )  # fmt: skip
    return special(plain, envelope, 0.0)


async def admit(store: Store, *rows: NewRow, now: float = 0.0) -> list[str]:
    answers = await Admission(store.database, OPEN).take(rows, now)
    return [answers[one.id] for one in rows]


async def test_class_and_key_of_a_lock_do_not_run_together(store: Store) -> None:
    pairs = [("Sync", "user:1"), ("Sync:user", "1"), ("Sync:user:1", ""), ("S", "ync:user:1")]
    rows = [row(str(n), job=job, key=key or " ") for n, (job, key) in enumerate(pairs)]
    assert await admit(store, *rows) == ["0", "1", "2", "3"]
    again = [row(f"again {n}", job=job, key=key or " ") for n, (job, key) in enumerate(pairs)]
    assert await admit(store, *again) == ["0", "1", "2", "3"]


async def test_each_device_has_a_lock_of_its_own(store: Store) -> None:
    rows = [row("1", queue="@d1"), row("2", queue="@d2"), row("3", queue="@d1")]
    assert await admit(store, *rows) == ["1", "2", "1"]


async def test_a_lock_of_an_older_version_holds(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    old = sqlite3.connect(path)
    for script in MIGRATIONS[:BEFORE_COLUMNS]:
        old.executescript(script)
    old.execute("INSERT INTO locks VALUES ('q/Sync:user:1', 'there', 1e12, 'finished')")
    old.execute(f"PRAGMA user_version = {BEFORE_COLUMNS}")
    old.commit()
    old.close()
    store = await Store.open(path)
    assert await admit(store, row("new", key="user:1")) == ["there"]
    assert await admit(store, row("other", key="user:2")) == ["other"]
    await store.close()


async def test_the_last_one_wins_as_a_whole(store: Store) -> None:
    slots = [{"key": "a", "slots": 1}]
    everywhere: dict[str, Any] = {"debounce_for": 5, "across_queues": True}
    first = row("first", queue="q", expires_at=10.0, limits=slots, **everywhere)
    last = row("last", queue="r", **everywhere)
    assert await admit(store, first, last) == ["first", "first"]
    found = await store.get("first")
    assert found is not None
    assert (found.queue, found.expires_at, found.is_limited) == ("r", None, False)
    assert Envelope.decode(found.envelope).data == {"id": "last"}
    assert {queue: size.delayed for queue, size in (await store.counts()).items()} == {"r": 1}
    assert await store.expire(11.0, 10) == []


async def test_one_that_waits_for_its_turn_gives_its_place_to_other_limits(store: Store) -> None:
    def limits(key: str) -> list[dict[str, Any]]:
        return [{"key": key, "slots": 1}]

    await admit(store, row("first", debounce_for=5, limits=limits("a")))
    await store.park(["first"])
    assert (await store.counts())["q"].limited == 1
    await admit(store, row("last", debounce_for=5, limits=limits("b"), expires_at=20.0))
    lanes = await store.database.read("SELECT lane FROM lanes")
    assert lanes == []
    [due] = await store.due(lambda: 6.0, 10)
    assert (due.is_limited, due.expires_at) == (True, 20.0)


@pytest.mark.parametrize("option", ["unique_for", "debounce_for", "throttle_for"])
async def test_one_that_is_sent_again_gets_the_same_answer_when_the_other_is_over(
    store: Store, option: str
) -> None:
    options: dict[str, Any] = {option: 5}
    first, last = (row(name, **options) for name in ("first", "last"))
    assert await admit(store, first, last) == ["first", "first"]
    await store.done([("first", 1, True)], 6.0)
    assert await admit(store, last, now=7.0) == ["first"]
    await Admission(store.database, OPEN).tidy(3_700.0)
    assert await admit(store, row("new", **options), now=3_700.0) == ["new"]
