"""The clock is set while jobs wait: what was said in seconds still takes so many seconds."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator

import pytest

from routeq_mqtt.bus.send.broker_info import BrokerInfo
from routeq_mqtt.presence.fleet import Fleet
from routeq_mqtt.scheduler.clock import StableClock
from routeq_mqtt.scheduler.context import Context
from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
from routeq_mqtt.scheduler.store.orders import OrderBook
from routeq_mqtt.scheduler.store.results import Results
from routeq_mqtt.scheduler.store.sessions import Sessions
from routeq_mqtt.scheduler.store.store import OTHERS_KEPT, Store
from routeq_mqtt.scheduler.upkeep.clock_jumps import ClockJumps
from routeq_mqtt.topics import Topics
from tests.scheduler.test_store import row

BOOTED, NOON = 0.0, 1_790_000_000.0


class Hand:
    """A clock that is set by hand."""

    def __init__(self, wall: float) -> None:
        self.wall = wall
        self.passed = 0.0

    def now(self) -> float:
        return self.wall + self.passed

    def monotonic(self) -> float:
        return self.passed


class Desk:
    """A calendar with its clock and its store."""

    def __init__(self, store: Store, wall: float) -> None:
        topics = Topics()
        fleet = Fleet(topics)
        self.hand = Hand(wall)
        self.store = store
        self.clock = StableClock(self.hand)
        self.context = Context(
            store=store,
            orders=OrderBook(store.database),
            results=Results(store.database, fleet, self.clock),
            sessions=Sessions(store.database, fleet),
            topics=topics,
            clock=self.clock,
            fleet=fleet,
            surroundings=BrokerInfo(topics, "test"),
        )
        self.calendar = ClockJumps(self.context, store.database)

    async def delay(self, name: str, seconds: float) -> None:
        at, era = self.clock.now() + seconds, self.clock.era
        await self.store.take([row(name, state="delayed", run_at=at, era=era)])

    async def due(self) -> list[str]:
        return [one.id for one in await self.store.due(self.clock.now, 10)]


@pytest.fixture
async def store(place: DatabasePlace) -> AsyncIterator[Store]:
    one = await Store.open(place)
    yield one
    await one.close()


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 5.0])
async def test_a_delay_takes_as_long_as_it_was_said(store: Store, seconds: float) -> None:
    desk = Desk(store, NOON)
    await desk.delay("in a minute", 60.0)
    await store.take([row("at one", state="delayed", run_at=NOON + 3600.0)])
    desk.hand.wall += seconds
    woken = desk.context.delayed.fired
    assert await desk.calendar.look()
    assert desk.context.delayed.fired > woken
    assert await desk.due() == (["at one"] if seconds == 3600.0 else [])
    desk.hand.passed = 59.0
    assert "in a minute" not in await desk.due()
    desk.hand.passed = 60.0
    assert "in a minute" in await desk.due()
    desk.hand.wall -= 2 * seconds
    assert await desk.calendar.look()
    assert "in a minute" in await desk.due()


async def test_nobody_sees_the_new_time_before_all_is_moved(store: Store) -> None:
    desk = Desk(store, NOON)
    await desk.delay("in a minute", 60.0)
    desk.hand.wall += 3600.0
    assert desk.clock.now() == NOON
    assert await desk.due() == []
    assert await desk.calendar.look()
    assert desk.clock.now() == NOON + 3600.0


async def test_who_asked_what_is_due_before_the_clock_was_set_back_gets_it_by_the_new_time(
    store: Store,
) -> None:
    """Its turn comes behind the move: by the old time the moved row would be due."""
    desk = Desk(store, NOON)
    await desk.delay("in half an hour", 1800.0)
    desk.hand.wall -= 7200.0
    looks, due = await asyncio.gather(desk.calendar.look(), desk.due())
    assert looks
    assert due == []


@pytest.mark.parametrize("times", [1, 2])
async def test_a_row_that_was_on_its_way_when_the_clock_was_set_is_moved(
    store: Store, times: int
) -> None:
    """However long its commit took: it is never due by a time that is over."""
    desk = Desk(store, NOON)
    on_its_way = row("x", state="delayed", run_at=desk.clock.now() + 60.0, era=desk.clock.era)
    for _ in range(times):
        desk.hand.wall += 3600.0
        assert await desk.calendar.look()
    await store.take([on_its_way], moved=desk.clock.moved)
    assert await desk.due() == []
    desk.hand.wall -= 7200.0
    assert await desk.calendar.look()
    desk.hand.passed = 59.0
    assert await desk.due() == []
    desk.hand.passed = 60.0
    assert await desk.due() == ["x"]


async def test_a_step_that_cannot_be_committed_is_none(sqlite_store: Store) -> None:
    """Its COMMIT fails: all goes on by the old time until one succeeds."""
    desk = Desk(sqlite_store, NOON)
    await desk.delay("in a minute", 60.0)
    desk.hand.wall += 3600.0
    for statement in (
        "PRAGMA foreign_keys = ON",
        "CREATE TABLE disk (id INTEGER PRIMARY KEY)",
        "CREATE TABLE room (id REFERENCES disk DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER full AFTER UPDATE ON jobs BEGIN INSERT INTO room VALUES (1); END",
    ):
        await sqlite_store.database.read(statement)
    era = desk.clock.era
    with pytest.raises(sqlite3.IntegrityError):
        await desk.calendar.look()
    assert (desk.clock.now(), desk.clock.era) == (NOON, era)
    await sqlite_store.database.read("DROP TRIGGER full")
    assert await desk.calendar.look()
    assert await desk.due() == []
    desk.hand.passed = 60.0
    assert await desk.due() == ["in a minute"]


async def test_a_clock_that_runs_a_little_wrong_is_followed(store: Store) -> None:
    desk = Desk(store, NOON)
    await desk.delay("in a minute", 60.0)
    for _ in range(10):
        desk.hand.wall += 0.5
        assert not await desk.calendar.look()
    assert desk.clock.now() == NOON + 5.0
    assert await store.next_due() == NOON + 60.0


async def test_a_machine_that_boots_in_1970_leaves_alone_what_it_wrote_before(
    store: Store,
) -> None:
    before = Desk(store, NOON)
    await before.delay("in a minute", 60.0)
    await store.take([row("long done", durable=True)])
    await store.done([("long done", 1, True)], NOON)
    after = Desk(store, BOOTED)
    await after.delay("in a second", 1.0)
    await store.take([row("just done")])
    await store.done([("just done", 1, True)], after.clock.now())
    after.hand.wall = NOON + 30.0
    assert await after.calendar.look()
    after.hand.passed = 1.0
    assert await after.due() == ["in a second"]
    after.hand.passed = 30.0
    assert await after.due() == ["in a second", "in a minute"]
    assert await store.purge(after.clock.now()) == 0
    after.hand.passed = OTHERS_KEPT + 1.0
    assert await store.purge(after.clock.now()) == 1
    assert await store.get("just done") is None
