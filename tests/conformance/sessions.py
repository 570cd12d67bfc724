"""Checks of what a session keeps over a reconnect: messages, QoS 2, aliases, Receive Maximum."""

from __future__ import annotations

import asyncio

from tests.broker import wire as w
from tests.broker.wire import PUBACK, PUBCOMP, PUBREC, PUBREL, ack, publish, unsubscribe
from tests.conformance.publishing import pair, rejected
from tests.conformance.registry import Site, states


async def send_twice(writer: w.Wire, topic: str, payload: bytes, **options: object) -> None:
    """A message of QoS 2, to its end."""
    writer.send(publish(topic, payload, level=writer.level, qos=2, mid=9, **options))  # type: ignore[arg-type]
    await writer.get(PUBREC)
    writer.send(ack(PUBREL, 9))
    await writer.get(PUBCOMP)


@states("4.3.3-3 4.3.3-5 4.3.3-6", "4.3.3-1")
async def qos_2_goes_on_after_a_reconnect(site: Site) -> None:
    reader = await site.persistent("reader")
    await reader.subscribe((site.topic(), 2))
    await send_twice(await site.login("writer"), site.topic(), b"x")
    first = await reader.get(3)
    reader.close()
    reader = await site.persistent("reader")
    again = await reader.get(3)
    assert (again.mid, again.dup, again.qos) == (first.mid, True, 2)
    reader.send(ack(PUBREC, first.mid))
    assert (await reader.get(PUBREL)).mid == first.mid
    reader.close()
    reader = await site.persistent("reader")
    assert [(got.kind, got.mid) for got in await reader.barrier()] == [(PUBREL, first.mid)]
    reader.send(ack(PUBCOMP, first.mid))
    await reader.barrier()
    reader.close()
    reader = await site.persistent("reader")
    assert await reader.barrier() == []


@states("4.4.0-2")
async def what_was_refused_is_not_sent_again(site: Site) -> None:
    reader = await site.persistent("reader")
    await reader.subscribe((site.topic(), 2))
    writer = await site.login("writer")
    await writer.publish(site.topic(), b"1")
    await send_twice(writer, site.topic(), b"2")
    for kind in (PUBACK, PUBREC):
        reader.send(ack(kind, (await reader.get(3)).mid, 0x80))
    assert await reader.barrier() == []
    reader.close()
    reader = await site.persistent("reader")
    assert await reader.barrier() == []


@states("4.3.3-7", mosquitto="drops it")
async def a_message_that_was_sent_does_not_expire(site: Site) -> None:
    reader = await site.persistent("reader")
    await reader.subscribe((site.topic(), 2))
    await send_twice(await site.login("writer"), site.topic(), b"x", more=((w.EXPIRY, 1),))
    first = await reader.get(3)
    reader.close()
    await asyncio.sleep(1.5)
    reader = await site.persistent("reader")
    assert (await reader.get(3)).mid == first.mid


@states("4.3.3-13")
async def qos_2_is_finished_although_the_message_expired(site: Site) -> None:
    writer = await site.login("writer")
    more = ((w.EXPIRY, 1),)
    writer.send(publish(site.topic(), b"x", level=5, qos=2, mid=3, more=more))
    await writer.get(PUBREC)
    await asyncio.sleep(1.5)
    writer.send(ack(PUBREL, 3))
    got = await writer.get(PUBCOMP)
    assert (got.mid, got.code) == (3, 0)


@states("4.3.2-5", "4.3.2-2")
async def an_acknowledged_identifier_is_free(site: Site) -> None:
    reader, writer = await pair(site)
    await writer.publish(site.topic(), b"1", mid=5)
    await writer.publish(site.topic(), b"2", mid=5, dup=True)
    assert [(await reader.get(3)).payload for _ in range(2)] == [b"1", b"2"]


@states("3.3.4-10 4.9.0-3")
async def a_full_receive_maximum_delays_nothing_else(site: Site) -> None:
    reader, writer = await pair(site, 1, more=((w.RECEIVE_MAX, 1),))
    for number in range(3):
        await writer.publish(site.topic(), b"%d" % number)
    held = await reader.get(3)
    assert await reader.subscribe((site.topic("more"), 0), mid=2) == [0]
    writer.send(publish(site.topic("more"), b"free", level=5))
    assert (await reader.get(3)).payload == b"free"
    reader.send(unsubscribe(site.topic("more"), level=5, mid=3))
    assert (await reader.get(11)).mid == 3
    await reader.publish(site.topic("own"), b"x", mid=4)
    await send_twice(reader, site.topic("own"), b"x")
    assert await reader.barrier() == []
    reader.send(ack(PUBACK, held.mid))
    assert (await reader.get(3)).payload == b"1"


@states("3.3.4-9 4.9.0-1 4.9.0-2", mosquitto="sends all of them again")
async def the_receive_maximum_of_a_resumed_session_is_kept(site: Site) -> None:
    reader = await site.persistent("reader")
    await reader.subscribe((site.topic(), 1))
    writer = await site.login("writer")
    for number in range(6):
        await writer.publish(site.topic(), b"%d" % number)
    for _ in range(5):
        await reader.get(3)
    reader.close()
    reader = await site.persistent("reader", more=((w.RECEIVE_MAX, 2),))
    came: list[bytes] = []
    while len(came) < 6:
        got = await reader.barrier()
        assert 0 < len(got) <= 2
        came += [one.payload for one in got]
        reader.send(*(ack(PUBACK, one.mid) for one in got))
    assert came == [b"%d" % number for number in range(6)]


@states("4.1.0-1", "4.1.0-2")
async def a_session_lasts_as_long_as_its_connection(site: Site) -> None:
    """Also where its expiry, counted from its start, has passed."""
    more = ((w.SESSION_EXPIRY, 1),) if site.level == 5 else ()
    one = await site.login(more=more)
    await one.subscribe((site.topic(), 1))
    await asyncio.sleep(1.5 if site.level == 5 else 0)
    writer = await site.login("writer")
    await writer.publish(site.topic(), b"x")
    assert (await one.get(3)).payload == b"x"


@states("", "3.1.2-7")
async def a_retained_message_outlives_the_session(site: Site) -> None:
    one = await site.login()
    await one.publish(site.topic(), b"kept", retain=True)
    one.send(w.DISCONNECT)
    await one.ended()
    again = await site.login()
    await again.subscribe((site.topic(), 1))
    assert (await again.get(3)).payload == b"kept"


async def shared(site: Site) -> tuple[str, w.Got, w.Wire]:
    """A QoS 2 message on its way to a member: who that is, the message, the other member."""
    members = {name: await site.persistent(name) for name in ("m1", "m2")}
    for member in members.values():
        await member.subscribe((f"$share/g/{site.topic()}", 2))
    await send_twice(await site.login("writer"), site.topic(), b"x")
    came = {name: await member.barrier() for name, member in members.items()}
    [(chosen, [got])] = [(name, found) for name, found in came.items() if found]
    members.pop(chosen).close()
    [other] = members.values()
    return chosen, got, other


@states("4.8.2-4")
async def a_shared_message_is_completed_by_its_member(site: Site) -> None:
    chosen, message, other = await shared(site)
    member = await site.persistent(chosen)
    got = await member.get(3)
    assert (got.mid, got.dup, got.payload) == (message.mid, True, b"x")
    member.send(ack(PUBREC, got.mid))
    await member.get(PUBREL)
    member.send(ack(PUBCOMP, got.mid))
    assert await member.barrier() == []
    assert await other.barrier() == []


@states("4.8.2-5")
async def a_shared_message_ends_with_the_session_of_its_member(site: Site) -> None:
    chosen, _, other = await shared(site)
    member = await site.login(chosen)  # with a clean start
    assert await member.barrier() == []
    assert await other.barrier() == []


@states("3.3.2-7")
async def topic_aliases_end_with_the_connection(site: Site) -> None:
    writer = await site.persistent("wrong")
    await writer.publish(site.topic(), b"1", more=((w.ALIAS, 1),))
    writer.close()
    await rejected(site, publish("", level=5, more=((w.ALIAS, 1),)))
    writer = await site.login("writer")
    for _ in range(2):
        reader = await site.persistent("reader", more=((w.ALIAS_MAX, 2),))
        await reader.subscribe((site.topic(), 0))
        for payload in (b"1", b"2"):
            await writer.publish(site.topic(), payload)
        assert (await reader.get(3)).topic == site.topic()
        second = await reader.get(3)
        assert second.topic == site.topic() or second.props[w.ALIAS]
        reader.close()
