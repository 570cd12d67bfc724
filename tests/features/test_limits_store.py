"""Rates and slots, granted row by row, without a bus and without waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt.scheduler.admission import Admission
from routeq_mqtt.scheduler.claims import special
from routeq_mqtt.scheduler.limits import Limits
from routeq_mqtt.scheduler.orders import OrderBook
from routeq_mqtt.scheduler.rows import NewFailed, NewRow
from routeq_mqtt.scheduler.store import Store
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.wire.envelope import Envelope

Limit = dict[str, Any]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    one = await Store.open(tmp_path / "routeq.db")
    yield one
    await one.close()


def row(job_id: str, *limits: Limit, attempt: int = 1, state: Any = "parked") -> NewRow:
    envelope = Envelope(id=job_id, job="J", attempt=attempt, options={"limits": list(limits)})
    plain = NewRow(
        id=job_id, queue="q", attempt=attempt, deliveries=1, state=state, run_at=0.0, durable=True,
        expires_at=None, envelope=envelope.encode(),
    )  # fmt: skip
    return special(plain, envelope, 0.0)


def failed(job_id: str) -> NewFailed:
    return NewFailed(
        id=job_id, queue="q", job="J", reason="exception", error="E", worker=None, failed_at=3.0,
        record=b"",
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
        await store.done([("a", 1)], 3.0)
    elif how == "failed":
        await store.fail([failed("a")], 3.0)
    elif how == "cancelled":
        await OrderBook(store.database).cancelled([("a", 1)], 3.0)
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
    await store.restore([replace(back, deliveries=2)])
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
    await store.done([("0", 1), ("1", 1)], 2.0)
    assert (await limits.grant(1.0))[0] == 2
    await store.release(await store.parked("q", 10))
    await store.done([("2", 1), ("3", 1)], 2.0)
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
    await store.done([("s0", 1)], 3.0)
    assert (await limits.grant(4.0))[0] == 1


async def test_another_attempt_in_a_limited_queue_takes_another_start(store: Store) -> None:
    await limited(store, (1, 10))
    await store.take([plain("a")])
    limits = Limits(store.database)
    assert (await limits.grant(1.0))[0] == 1
    await store.release(await store.parked("q", 10))
    await store.restore([replace(plain("a"), deliveries=2)])
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


async def test_beside_another_version_of_its_class_a_job_s_own_number_decides(store: Store) -> None:
    rows = [row("old 1", slots("k", 1)), row("old 2", slots("k", 1))]
    limits = await waiting(store, *rows)
    await limits.grant(1.0)
    assert await parked(store) == ["old 1"]
    new = [row(f"new {number}", slots("k", 3)) for number in range(3)]
    limits = await waiting(store, *new)
    await limits.grant(2.0)
    assert await parked(store) == ["old 1", "new 0", "new 1"]  # three at once, the old one counted
    await store.done([("old 1", 1), ("new 0", 1)], 3.0)
    await limits.grant(3.0)
    assert await parked(store) == ["new 1", "new 2"]  # old 2 waits until it is alone
