"""Rates and slots, granted row by row, without a bus and without waiting."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt.scheduler.features.admission import Admission
from routeq_mqtt.scheduler.features.limits import Limits, lane_of
from routeq_mqtt.scheduler.features.uniqueness import special
from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
from routeq_mqtt.scheduler.store.engines.sqlite import SqliteEngine
from routeq_mqtt.scheduler.store.orders import OrderBook
from routeq_mqtt.scheduler.store.rows import NewFailed, NewRow
from routeq_mqtt.scheduler.store.schema.schema import MIGRATIONS
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.wire.envelopes.envelope import Envelope

Limit = dict[str, Any]

BEFORE_GAUGES = 12
"""The last schema version in which each pass of the limits looked at all lanes."""


@pytest.fixture
async def store(place: DatabasePlace) -> AsyncIterator[Store]:
    one = await Store.open(place)
    yield one
    await one.close()


def row(job_id: str, *limits: Limit, attempt: int = 1, state: Any = "parked") -> NewRow:
    envelope = Envelope(id=job_id, job="J", attempt=attempt, options={"limits": list(limits)})
    plain = NewRow(
        id=job_id, queue="q", attempt=attempt, deliveries=1, state=state, run_at=0.0, durable=True,
        expires_at=None, envelope=envelope.encode(), proven=attempt > 1,
    )  # fmt: skip
    return special(plain, envelope, 0.0)


def failed(job_id: str) -> NewFailed:
    return NewFailed(
        id=job_id, queue="q", job="J", reason="exception", error="E", worker=None, failed_at=3.0,
        record=b"", proven=True,
    )  # fmt: skip


def plain(job_id: str, *, queue: str = "q", attempt: int = 1, state: Any = "parked") -> NewRow:
    return replace(row(job_id, attempt=attempt, state=state), queue=queue)


async def waiting(store: Store, *rows: NewRow) -> Limits:
    await Admission(store.database, OPEN).take(rows, 0.0)
    return Limits(store.database)


async def parked(store: Store) -> list[str]:
    return [one.id for one in await store.parked("q", 100)]


def rate(key: str, most: float, seconds: float) -> Limit:
    return {"key": key, "rate": [most, seconds]}


def slots(key: str, number: int) -> Limit:
    return {"key": key, "slots": number}


async def test_a_bucket_gives_what_it_holds_and_then_what_time_brings(store: Store) -> None:
    limits = await waiting(store, *(row(str(n), rate("api", 2, 8)) for n in range(6)))
    assert await limits.grant(100.0) == (2, 4.0)
    assert await limits.grant(103.0) == (0, 1.0)
    assert await limits.grant(104.0) == (1, 4.0)
    assert await limits.grant(200.0) == (2, 4.0)  # never more than it holds
    assert await limits.grant(50.0) == (0, 4.0)  # a clock that was set back
    assert await limits.grant(54.0) == (1, None)
    assert await parked(store) == [str(n) for n in range(6)]


async def test_a_rate_holds_over_a_restart(tmp_path: Path) -> None:
    before = await Store.open(tmp_path / "other.db")
    limits = await waiting(before, *(row(str(n), rate("api", 2, 8)) for n in range(4)))
    assert (await limits.grant(100.0))[0] == 2
    await before.close()
    after = await Store.open(tmp_path / "other.db")
    assert await Limits(after.database).grant(101.0) == (0, 3.0)
    await after.close()


@pytest.mark.parametrize("how", ["done", "failed", "cancelled", "retried later", "retried at once"])
async def test_a_slot_is_given_back_with_the_end_of_the_run(store: Store, how: str) -> None:
    limits = await waiting(store, row("a", slots("device", 1)), row("b", slots("device", 1)))
    assert await limits.grant(1.0) == (1, None)
    await store.release(await store.parked("q", 10))
    assert await limits.grant(2.0) == (0, None)
    if how == "done":
        await store.done([("a", 1, True)], 3.0)
    elif how == "failed":
        await store.fail([failed("a")], 3.0)
    elif how == "cancelled":
        await OrderBook(store.database).cancelled([("a", 1, True)], 3.0)
    else:
        state = "delayed" if how == "retried later" else "parked"
        await store.take([row("a", attempt=2, state=state)])
    assert (await limits.grant(4.0))[0] == 1
    expected = ["a"] if how == "retried at once" else ["b"]  # first come, first served
    assert await parked(store) == expected


@pytest.mark.parametrize("charged", [False, True])
async def test_a_worker_that_died_gives_its_slot_back_by_adoption(
    store: Store, charged: bool
) -> None:
    """Uncharged, the job keeps its turn: it is the next to run, and nobody runs beside it."""
    limits = await waiting(store, row("a", slots("x", 1)), row("b", slots("x", 1)))
    await limits.grant(1.0)
    await store.release(await store.parked("q", 10))
    back = row("a", slots("x", 1), attempt=1 + charged)
    await store.restore([replace(back, deliveries=2, proven=True)])
    assert (await limits.grant(2.0))[0] == charged
    assert await parked(store) == ["a"]


async def test_lanes_take_turns_at_what_they_share(store: Store) -> None:
    shared = rate("api", 4, 100)
    rows = [row(f"a{n}", shared, slots("a", 9)) for n in range(5)]
    rows += [row(f"b{n}", shared, slots("b", 9)) for n in range(5)]
    limits = await waiting(store, *rows)
    assert (await limits.grant(1.0))[0] == 4
    assert sorted(await parked(store)) == ["a0", "a1", "b0", "b1"]


async def test_a_full_lane_keeps_no_other_lane_waiting(store: Store) -> None:
    rows = [row(f"full {n}", slots("full", 1)) for n in range(500)]
    limits = await waiting(store, *rows, row("free", slots("free", 1)))
    assert (await limits.grant(1.0))[0] == 2
    assert await parked(store) == ["full 0", "free"]


async def test_all_limits_must_allow_it(store: Store) -> None:
    both = (rate("api", 5, 10), slots("device", 2))
    limits = await waiting(store, *(row(str(n), *both) for n in range(5)))
    assert await limits.grant(1.0) == (2, None)
    await store.release(await store.parked("q", 10))
    await store.done([("0", 1, True), ("1", 1, True)], 2.0)
    assert (await limits.grant(1.0))[0] == 2
    await store.release(await store.parked("q", 10))
    await store.done([("2", 1, True), ("3", 1, True)], 2.0)
    assert await limits.grant(1.0) == (1, None)


async def test_what_is_not_yet_due_takes_no_token(store: Store) -> None:
    limits = await waiting(store, row("later", rate("api", 1, 100), state="delayed"))
    assert await limits.grant(1.0) == (0, None)
    [due] = await store.due(lambda: 5.0, 10)
    assert due.is_limited
    await store.park([due.id])
    assert await parked(store) == []
    assert (await store.counts())["q"].limited == 1
    assert await limits.grant(6.0) == (1, None)


async def limited(store: Store, rate: tuple[float, float], at: float = 0.0) -> OrderBook:
    orders = OrderBook(store.database)
    await orders.limit("q", rate, at)
    return orders


async def test_the_limit_of_a_queue_holds_for_plain_jobs_and_for_no_other_queue(
    store: Store,
) -> None:
    await limited(store, (2, 8))
    await store.take([plain(str(n)) for n in range(6)])
    await store.take([plain("other", queue="r")])
    limits = Limits(store.database)
    assert await limits.grant(100.0) == (2, 4.0)
    assert await limits.grant(103.0) == (0, 1.0)
    assert await limits.grant(104.0) == (1, 4.0)
    assert await limits.grant(50.0) == (0, 4.0)  # a clock that was set back
    assert await limits.grant(54.0) == (1, 4.0)
    assert await parked(store) == ["0", "1", "2", "3"]
    assert [one.id for one in await store.parked("r", 10)] == ["other"]


async def test_the_limit_of_a_queue_is_given_to_a_backlog_changed_and_taken_away(
    store: Store,
) -> None:
    await store.take([plain(str(n)) for n in range(6)])
    orders = await limited(store, (3, 8))
    assert await parked(store) == []
    limits = Limits(store.database)
    assert (await limits.grant(1.0))[0] == 3
    await orders.limit("q", (1, 10), 1.0)
    assert await limits.grant(1.0) == (0, 10.0)
    again = OrderBook(store.database)
    await again.load()
    assert again.rates == orders.rates == {"q": (1, 10)}
    assert again.all() == orders.all()
    await orders.unlimit("q")
    assert await parked(store) == [str(n) for n in range(6)]
    assert orders.rates == {}
    assert orders.all() == {}


async def test_a_limited_queue_keeps_the_limits_of_its_jobs(store: Store) -> None:
    orders = await limited(store, (3, 100))
    limits = await waiting(store, *(row(f"s{n}", slots("x", 1)) for n in range(3)))
    await store.take([plain(f"p{n}") for n in range(4)])
    assert (await limits.grant(1.0))[0] == 3  # one slot, and the rest of the rate
    assert await parked(store) == ["s0", "p0", "p1"]
    await orders.unlimit("q")
    assert await parked(store) == ["s0", "p0", "p1", "p2", "p3"]
    assert await limits.grant(2.0) == (0, None)
    await store.release(await store.parked("q", 1))
    await store.done([("s0", 1, True)], 3.0)
    assert (await limits.grant(4.0))[0] == 1


async def test_another_attempt_in_a_limited_queue_takes_another_start(store: Store) -> None:
    await limited(store, (1, 10))
    await store.take([plain("a")])
    limits = Limits(store.database)
    assert (await limits.grant(1.0))[0] == 1
    await store.release(await store.parked("q", 10))
    await store.restore([replace(plain("a"), deliveries=2, proven=True)])
    assert await parked(store) == ["a"]  # it has not run: it keeps its turn
    await store.release(await store.parked("q", 10))
    await store.take([replace(plain("a", attempt=2, state="delayed"), deliveries=3)])
    [due] = await store.due(lambda: 5.0, 10)
    assert due.is_limited
    await store.park([due.id])
    assert await limits.grant(6.0) == (0, 5.0)
    assert (await limits.grant(11.0))[0] == 1


async def test_no_turn_is_given_while_nobody_is_there_to_take_it(store: Store) -> None:
    await limited(store, (1, 10))
    await store.take([plain("a"), plain("b")])
    limits = Limits(store.database)
    assert await limits.grant(1.0, lambda queue: False) == (0, None)
    assert (await limits.grant(500.0, lambda queue: queue == "q"))[0] == 1


async def test_what_has_the_same_limits_goes_in_order_of_arrival_from_queue_to_queue(
    store: Store,
) -> None:
    shared = rate("api", 3, 100)
    rows = [replace(row(str(n), shared), queue="qr"[n % 2]) for n in range(6)]
    limits = await waiting(store, *rows)
    assert (await limits.grant(1.0))[0] == 3
    assert await parked(store) == ["0", "2"]
    assert [one.id for one in await store.parked("r", 10)] == ["1"]


async def test_the_newest_job_s_number_holds_for_all_jobs_of_its_key(store: Store) -> None:
    rows = [row("old 1", slots("k", 1)), row("old 2", slots("k", 1))]
    limits = await waiting(store, *rows)
    await limits.grant(1.0)
    assert await parked(store) == ["old 1"]
    new = [row(f"new {number}", slots("k", 3)) for number in range(3)]
    await waiting(store, *new)
    await limits.grant(2.0)
    assert await parked(store) == ["old 1", "old 2", "new 0"]
    await waiting(store, row("newest", slots("k", 2)))
    await store.done([("old 1", 1, True)], 3.0)
    await limits.grant(3.0)
    assert await parked(store) == ["old 2", "new 0"]
    await store.done([("old 2", 1, True)], 4.0)
    await limits.grant(4.0)
    assert await parked(store) == ["new 0", "new 1"]


@pytest.mark.parametrize("first", [1, 2])
async def test_slots_of_one_key_are_never_added_up(store: Store, first: int) -> None:
    rows = [row(str(n), slots("k", (first + n) % 2 + 1)) for n in range(10)]
    limits = await waiting(store, *rows)
    for _ in range(3):
        await limits.grant(1.0)
    assert len(await parked(store)) == (first + 9) % 2 + 1


@pytest.mark.parametrize("first", [(10, 3600), (6, 3600)])
async def test_rates_of_one_key_are_never_added_up(
    store: Store, first: tuple[float, float]
) -> None:
    last = (16 - first[0], 3600)
    rows = [row(f"a{n}", rate("k", *first)) for n in range(10)]
    limits = await waiting(store, *rows)
    await limits.grant(1.0)
    await waiting(store, *(row(f"b{n}", rate("k", *last)) for n in range(10)))
    await limits.grant(1.0)
    assert len(await parked(store)) == first[0]
    granted, wait = await limits.grant(2.0)
    assert granted == 0
    assert wait is not None
    assert wait == pytest.approx(3600 / last[0] - 1)


async def test_a_rate_over_days_is_not_forgotten(store: Store) -> None:
    day = 86_400.0
    weekly = rate("api", 1, 7 * day)
    limits = await waiting(store, row("first", weekly))
    assert (await limits.grant(0.0))[0] == 1
    await store.done([("first", 1, True)], 1.0)
    for at in (2 * day, 6.9 * day):
        await limits.tidy(at)
        await waiting(store, row(f"later {at}", weekly))
        granted, wait = await limits.grant(at)
        assert granted == 0
        assert wait == pytest.approx(7 * day - at)
    assert (await limits.grant(7 * day))[0] == 1


async def test_gauges_that_are_as_new_are_forgotten(store: Store) -> None:
    rows = [row("rate", rate("a", 1, 10)), row("slot", slots("b", 1))]
    limits = await waiting(store, *rows)
    assert (await limits.grant(0.0))[0] == 2
    await limits.tidy(1.0)
    assert len(await gauges(store)) == 2
    await store.done([("rate", 1, True), ("slot", 1, True)], 2.0)
    await limits.tidy(11.0)
    assert await gauges(store) == []


async def gauges(store: Store) -> list[str]:
    return [str(name) for (name,) in await store.database.read("SELECT name FROM gauges")]


async def test_jobs_that_wait_are_not_looked_at_before_something_opens(sqlite_store: Store) -> None:
    """Whatever the number of keys: what a pass reads and writes is counted, not timed."""
    limits = Limits(sqlite_store.database)
    for first in range(0, 3_000, 500):
        rows = [
            row(f"{key} {n}", slots(f"device {key}", 1), rate("all", 10_000, 1.0))
            for key in range(first, first + 500)
            for n in range(2)
        ]
        await waiting(sqlite_store, *rows)
    while (await limits.grant(1.0))[0]:
        pass
    assert len(await parked(sqlite_store)) == 100
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    engine = sqlite_store.database._engine
    assert isinstance(engine, SqliteEngine)
    db = engine._db
    await db.set_progress_handler(count, 100)
    assert await limits.grant(1.0) == (0, None)
    assert steps < 10
    await sqlite_store.done([("7 0", 1, True)], 2.0)
    steps = 0
    assert (await limits.grant(2.0))[0] == 1
    assert steps < 30
    await db.set_progress_handler(None, 100)  # type: ignore[arg-type]


async def test_a_shared_slot_that_opens_wakes_one_lane_and_not_all(store: Store) -> None:
    both = [(rate(f"device {n}", 1, 10), slots("shared", 1)) for n in range(500)]
    limits = await waiting(store, *(row(str(n), *pair) for n, pair in enumerate(both)))
    order = []
    for at in range(1, 5):
        while (await limits.grant(float(at)))[1] == 0.0:
            pass
        [job_id] = await parked(store)
        await store.done([(job_id, 1, True)], float(at))
        order.append(job_id)
    assert order == ["0", "1", "2", "3"]


async def test_lanes_of_a_queue_without_workers_wait_for_them_and_keep_nobody_waiting(
    store: Store,
) -> None:
    mine = [replace(row(f"q{n}", slots(f"key {n}", 1)), queue="q") for n in range(300)]
    other = [replace(row(f"r{n}", slots(f"key r{n}", 1)), queue="r") for n in range(300)]
    limits = await waiting(store, *mine, *other)
    served = {"r"}
    while (await limits.grant(1.0, served.__contains__))[1] == 0.0:
        pass
    assert (await store.counts())["r"].parked == 300
    assert (await store.counts())["q"].limited == 300
    again = Limits(store.database)  # of a scheduler that begins
    assert await again.grant(2.0, served.__contains__) == (0, None)
    served.add("q")
    while (await again.grant(3.0, served.__contains__))[1] == 0.0:
        pass
    assert (await store.counts())["q"].parked == 300


async def test_a_job_that_ends_while_it_waits_leaves_no_lane_behind(store: Store) -> None:
    limits = await waiting(store, row("a", slots("x", 1)), row("b", slots("x", 1)))
    assert (await limits.grant(1.0))[0] == 1
    assert await limits.any()
    await OrderBook(store.database).cancel(["b"], 2.0)
    assert not await limits.any()


async def test_limits_of_an_older_version_go_on(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    old = sqlite3.connect(path)
    for script in MIGRATIONS[:BEFORE_GAUGES]:
        old.executescript(script)
    lane = lane_of([rate("api", 2, 8)])
    one = lane_of([slots("device", 1)])
    for number, (text, state, granted) in enumerate(
        [(lane, "limited", 0), (lane, "limited", 0), (one, "released", 1), (one, "limited", 0),
         (None, "limited", 0)]
    ):  # fmt: skip
        old.execute(
            "INSERT INTO jobs (id, queue, attempt, deliveries, state, run_at, seq, durable, "
            "envelope, special, lane, granted) VALUES (?, ?, 1, 1, ?, 0, ?, 1, x'', 1, ?, ?)",
            (str(number), "q" if text else "slow", state, number, text, granted),
        )
    old.execute("INSERT INTO slots VALUES ('device', '2')")
    old.execute("INSERT INTO buckets VALUES ('api', 0.0, 100.0), ('old', 0.0, 100.0)")
    old.execute("INSERT INTO queue_limits VALUES ('slow', 1, 10, 0, 100)")
    old.execute(f"PRAGMA user_version = {BEFORE_GAUGES}")
    old.commit()
    old.close()
    store = await Store.open(path)
    limits = Limits(store.database)
    assert await limits.grant(100.0) == (0, 4.0)
    assert (await limits.grant(104.0))[0] == 1
    assert (await limits.grant(110.0))[0] == 2  # the other one, and that of the queue
    await store.done([("2", 1, True)], 111.0)
    assert (await limits.grant(111.0))[0] == 1
    await limits.tidy(112.0)
    assert "rate old" in await gauges(store)
    book = OrderBook(store.database)
    await book.load()
    assert book.rates == {"slow": (1, 10)}
    await store.close()


async def test_a_parked_job_of_a_queue_without_workers_gives_back_all_it_took(store: Store) -> None:
    both = (slots("x", 1), rate("weekly", 2, 7 * 86_400))
    first = replace(row("first", *both), queue="away")
    limits = await waiting(store, first, row("next", *both))
    assert (await limits.grant(1.0))[0] == 1
    assert await limits.grant(2.0, lambda queue: queue == "q") == (1, None)
    assert await parked(store) == ["next"]
    await store.release(await store.parked("q", 10))
    await store.done([("next", 1, True)], 3.0)
    assert (await limits.grant(4.0))[0] == 1  # its token was returned, too
    assert [one.id for one in await store.parked("away", 10)] == ["first"]
