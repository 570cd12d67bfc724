"""Ids of messages without one: the same as long as the message may come again, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
from routeq_mqtt.scheduler.store.given_ids import GivenIds
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.transport.base import Connection, ConnectOptions, Message


@pytest.fixture
async def store(place: DatabasePlace) -> AsyncIterator[Store]:
    one = await Store.open(place)
    yield one
    await one.close()


async def connect(broker: MemoryBroker) -> Connection:
    options = ConnectOptions("s", persistent=True, session_expiry=60)
    return await MemoryTransport(broker).connect(options, lambda message: None)


def message(
    packet_id: int, *, dup: bool = False, payload: bytes = b"same", qos: int = 1
) -> Message:
    return Message("t", payload, qos=qos, dup=dup, packet_id=packet_id)


@asynccontextmanager
async def running(given: GivenIds) -> AsyncIterator[None]:
    task = asyncio.create_task(given.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def write(store: Store, given: GivenIds) -> None:
    now = given.to_write()
    await store.take([], given=now)
    given.written(now)


async def until(store: Store, wanted: Callable[[int], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not wanted(len(await store.given_ids("s"))):
            await asyncio.sleep(0.01)


async def test_a_delivery_that_comes_again_keeps_its_id(store: Store) -> None:
    """Also to another process; another payload, topic or packet id is another message."""
    broker = MemoryBroker()
    given = GivenIds(store, "s", "own")
    first = await connect(broker)
    given.reads(first, message(1))
    assert given.id_of(one := message(1)) == given.id_of(one)
    ids = [given.id_of(message(number)) for number in (2, 3)]
    await write(store, given)
    for _ in range(2):
        later = GivenIds(store, "s", "own")
        await later.load()
        again = await connect(broker)
        assert again.session_present
        later.reads(again, message(2, dup=True))
        assert [later.id_of(message(number, dup=True)) for number in (2, 3)] == ids
        later.reads(again, message(4, dup=True))
        assert later.id_of(message(4, dup=True)) not in ids


@pytest.mark.parametrize("other", [message(2, dup=True, payload=b"else"), message(2)])
async def test_what_is_new_says_that_nothing_older_comes_again(
    store: Store, other: Message
) -> None:
    broker = MemoryBroker()
    given = GivenIds(store, "s", "own")
    connection = await connect(broker)
    given.reads(connection, message(1))
    before = given.id_of(message(1))
    await write(store, given)
    connection = await connect(broker)
    given.reads(connection, other)
    given.id_of(other)
    again = message(1, dup=True)
    given.reads(connection, again)
    assert given.id_of(again) != before
    await write(store, given)
    assert before not in {one.id for one in await store.given_ids("s")}


async def test_an_id_is_over_when_its_puback_has_arrived(store: Store) -> None:
    broker = MemoryBroker()
    given = GivenIds(store, "s", "own")
    connection = await connect(broker)
    async with running(given):
        given.reads(connection, message(1))
        before = given.id_of(message(1))
        await write(store, given)
        await until(store, lambda number: number == 1)
        given.acknowledged()
        await until(store, lambda number: number == 0)
    again = message(1, dup=True)
    given.reads(await connect(broker), again)
    assert given.id_of(again) != before


async def test_a_puback_that_may_not_have_arrived_keeps_the_id(store: Store) -> None:
    """The broker hangs, and its connection breaks."""
    broker = MemoryBroker()
    given = GivenIds(store, "s", "own")
    connection = await connect(broker)
    async with running(given):
        given.reads(connection, message(1))
        before = given.id_of(message(1))
        await write(store, given)
        broker.pause()
        given.acknowledged()
        await asyncio.sleep(0)
        broker.cut("s")
        await connection.lost
    broker.resume()
    again = message(1, dup=True)
    given.reads(await connect(broker), again)
    assert given.id_of(again) == before


async def test_what_a_later_connection_acknowledges_says_nothing_of_an_earlier_one(
    store: Store,
) -> None:
    broker = MemoryBroker()
    given = GivenIds(store, "s", "own")
    given.reads(await connect(broker), message(1))
    before = given.id_of(message(1))
    await write(store, given)
    given.acknowledged()
    again = await connect(broker)
    given.reads(again, message(2, dup=True, payload=b"of another kind"))
    async with running(given):
        given.acknowledged()
        await again.publish("own", b"")
    given.reads(again, message(1, dup=True))
    assert given.id_of(message(1, dup=True)) == before


async def test_what_is_read_and_not_yet_acknowledged_is_not_over(store: Store) -> None:
    """The PUBACKs of one commit arrive while the next one is being written."""
    given = GivenIds(store, "s", "own")
    connection = await connect(MemoryBroker())
    async with running(given):
        given.reads(connection, message(1))
        given.id_of(message(1))
        await write(store, given)
        given.acknowledged()
        given.reads(connection, message(2))
        before = given.id_of(message(2))
        await write(store, given)
        await until(store, lambda number: number == 1)
    assert [one.id for one in await store.given_ids("s")] == [before]


async def test_messages_in_one_commit_under_one_packet_id_are_two(store: Store) -> None:
    given = GivenIds(store, "s", "own")
    connection = await connect(MemoryBroker())
    given.reads(connection, message(1))
    assert given.id_of(message(1)) != given.id_of(message(1))
    await write(store, given)
    assert len(await store.given_ids("s")) == 1


async def test_what_is_never_delivered_again_is_not_written_down(store: Store) -> None:
    given = GivenIds(store, "s", "own")
    given.reads(await connect(MemoryBroker()), message(0, qos=0))
    assert given.id_of(message(0, qos=0)) != given.id_of(message(0, qos=0))
    assert not given.any
