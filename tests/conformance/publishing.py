"""Checks of PUBLISH, its acknowledgements, retained messages and order."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.broker import wire as w
from tests.broker.wire import PUBACK, PUBCOMP, PUBREC, PUBREL, ack, packet, publish, string
from tests.conformance.registry import Site, states


async def pair(site: Site, qos: int = 2, **options: Any) -> tuple[w.Wire, w.Wire]:
    """A reader of the topic and a writer."""
    reader = await site.login("reader", **options)
    await reader.subscribe((site.topic(), qos))
    return reader, await site.login("writer")


async def rejected(site: Site, *raw: bytes) -> None:
    """The broker ends the connection; it does not come to the PINGREQ behind."""
    one = await site.login("wrong")
    one.send(*raw, w.PINGREQ)
    while (got := await one.next()) is not None:
        assert got.kind in {14, 4, 5}, got
        assert not (got.kind in {4, 5} and got.code < 0x80), got


@states("2.2.1-2 4.3.1-1 3.3.1-2", "2.3.1-5 4.3.1-1 3.3.1-2")
async def qos_0_has_no_packet_identifier(site: Site) -> None:
    reader, writer = await pair(site)
    writer.send(publish(site.topic(), b"x", level=site.level))
    got = await reader.get(3)
    assert (got.payload, got.qos, got.dup) == (b"x", 0, False)


@states("3.3.1-2", "3.3.1-2", mosquitto="takes it")
async def dup_at_qos_0_is_an_error(site: Site) -> None:
    await rejected(site, publish(site.topic(), b"x", level=site.level, dup=True))


@states("2.2.1-3", "2.3.1-1")
async def packet_identifier_0_is_an_error(site: Site) -> None:
    await rejected(site, publish(site.topic(), b"x", level=site.level, qos=1, mid=0))


@states(
    "2.2.1-4 2.2.1-5 3.3.4-1 4.3.2-1 4.3.2-2 4.3.2-4",
    "2.3.1-4 2.3.1-6 3.3.4-1 4.3.2-1 4.3.2-2",
)
async def qos_1_is_acknowledged_with_its_identifier(site: Site) -> None:
    reader, writer = await pair(site)
    seen = set()
    for mid in (1, 77, 65_535):
        assert (await writer.publish(site.topic(), b"x", mid=mid)).mid == mid
        got = await reader.get(3)
        assert (got.qos, got.dup) == (1, False)
        seen.add(got.mid)
    assert 0 not in seen
    assert len(seen) == 3  # none is acknowledged yet


@states("4.3.3-8 4.3.3-10 4.3.3-11 4.3.3-12 2.2.1-5", "4.3.3-2 2.3.1-6 3.6.4-1")
async def qos_2_is_taken_once(site: Site) -> None:
    reader, writer = await pair(site)
    raw = publish(site.topic(), b"x", level=site.level, qos=2, mid=9)
    writer.send(raw)
    assert (await writer.get(PUBREC)).mid == 9
    writer.send(publish(site.topic(), b"x", level=site.level, qos=2, mid=9, dup=True))
    assert (await writer.get(PUBREC)).mid == 9
    writer.send(ack(PUBREL, 9))
    assert (await writer.get(PUBCOMP)).mid == 9
    assert [got.payload for got in await reader.barrier()] == [b"x"]
    writer.send(raw)
    await writer.get(PUBREC)
    writer.send(ack(PUBREL, 9))
    await writer.get(PUBCOMP)
    first = await reader.get(3)
    assert first.payload == b"x"


@states("4.3.3-1 4.3.3-2 4.3.3-4", "4.3.3-1")
async def qos_2_is_given_once(site: Site) -> None:
    reader, writer = await pair(site)
    writer.send(publish(site.topic(), b"x", level=site.level, qos=2, mid=9))
    await writer.get(PUBREC)
    writer.send(ack(PUBREL, 9))
    got = await reader.get(3)
    assert (got.qos, got.dup, got.mid > 0) == (2, False, True)
    reader.send(ack(PUBREC, got.mid))
    assert (await reader.get(PUBREL)).mid == got.mid
    reader.send(ack(PUBCOMP, got.mid))
    assert await reader.barrier() == []


@states("3.6.1-1", "3.6.1-1")
async def a_pubrel_has_its_flags(site: Site) -> None:
    await rejected(site, b"\x60\x02\x00\x01")


@states("3.3.1-4 4.13.1-1", "3.3.1-4")
async def qos_3_is_an_error(site: Site) -> None:
    await rejected(site, publish(site.topic(), b"x", level=site.level, qos=3))


@states("3.3.2-1 3.3.2-2 4.7.0-1 4.7.3-1 4.7.3-2", "3.3.2-1 3.3.2-2 4.7.1-1 4.7.3-1 4.7.3-2")
async def what_is_no_topic_is_refused(site: Site) -> None:
    for topic in ("a/+", "#", b"a\0b", b"\xff"):
        await rejected(site, publish(topic, b"x", level=site.level, qos=1))
    await rejected(site, publish("", b"x", level=site.level, qos=1))
    await rejected(site, packet(0x32, b"\x00\x10a"))


@states("4.7.3-3", "4.7.3-3")
async def a_topic_may_be_long(site: Site) -> None:
    topic = f"{site.name}/" + "x" * 20_000
    one = await site.login()
    await one.subscribe((topic, 1))
    one.send(publish(topic, b"x", level=site.level))
    assert (await one.get(3)).topic == topic


@states("1.5.4-3 4.7.3-4", "1.5.3-3 4.7.3-4")
async def a_topic_is_not_changed(site: Site) -> None:
    one = await site.login()
    for topic in ("\ufeffa", "A\u0301", "\u00c1", "a//b", "/", " x "):
        await one.subscribe((site.topic(topic), 1))
        one.send(publish(site.topic(topic), b"x", level=site.level))
        assert (await one.get(3)).topic == site.topic(topic)
    other = await site.login("other")
    await other.subscribe((site.topic("\u00c1"), 1), (site.topic("a"), 1))
    for topic in ("A\u0301", "\ufeffa"):
        one.send(publish(site.topic(topic), level=site.level))
    await one.barrier()
    assert await other.barrier() == []


@states("3.3.1-5", "3.3.1-5 3.3.1-7")
async def a_retained_message_is_replaced(site: Site) -> None:
    one = await site.login()
    for payload in (b"old", b"new"):
        await one.publish(site.topic(), payload, retain=True)
    await one.subscribe((site.topic(), 1))
    got = await one.get(3)
    assert (got.payload, got.retain) == (b"new", True)
    assert await one.barrier() == []


@states("3.3.1-6 3.3.1-7", "3.3.1-10 3.3.1-11")
async def an_empty_retained_message_removes_it(site: Site) -> None:
    reader, writer = await pair(site)
    await writer.publish(site.topic(), b"x", retain=True)
    await writer.publish(site.topic(), b"", retain=True)
    got = await reader.barrier()
    assert [one.payload for one in got] == [b"x", b""]
    late = await site.login("late")
    await late.subscribe((site.topic(), 1))
    assert await late.barrier() == []


@states("3.3.1-8", "3.3.1-12")
async def a_message_that_is_not_retained_replaces_nothing(site: Site) -> None:
    one = await site.login()
    await one.publish(site.topic(), b"kept", retain=True)
    await one.publish(site.topic(), b"passing")
    await one.subscribe((site.topic(), 1))
    assert [got.payload for got in await one.barrier()] == [b"kept"]


@states("3.3.1-12 3.3.1-3", "3.3.1-8 3.3.1-9 3.3.1-3")
async def a_live_message_has_no_retain_flag(site: Site) -> None:
    reader, writer = await pair(site)
    writer.send(publish(site.topic(), b"x", level=site.level, qos=1, retain=True, dup=True))
    got = await reader.get(3)
    assert (got.retain, got.dup) == (False, False)


@states("3.3.1-13")
async def retain_as_published_keeps_the_flag(site: Site) -> None:
    reader = await site.login("reader")
    await reader.subscribe((site.topic(), 1 | 8))
    writer = await site.login("writer")
    await writer.publish(site.topic(), b"x", retain=True)
    await writer.publish(site.topic(), b"y")
    assert [(await reader.get(3)).retain for _ in range(2)] == [True, False]


@states("3.3.1-1 4.3.2-3 4.4.0-1 4.6.0-1", "3.3.1-1 4.3.2-1 4.4.0-1 4.6.0-1")
async def what_is_not_acknowledged_comes_again_in_order(site: Site) -> None:
    reader = await site.persistent("reader")
    await reader.subscribe((site.topic(), 1))
    writer = await site.login("writer")
    for number in range(5):
        await writer.publish(site.topic(), b"%d" % number)
    first = [await reader.get(3) for _ in range(5)]
    reader.send(ack(PUBACK, first[1].mid))
    await reader.barrier()
    reader.close()
    reader = await site.persistent("reader")
    again = [await reader.get(3) for _ in range(4)]
    assert [one.payload for one in again] == [b"0", b"2", b"3", b"4"]
    assert all(one.dup for one in again)
    assert [one.mid for one in again] == [first[number].mid for number in (0, 2, 3, 4)]


@states("4.4.0-1 4.3.3-5", "4.4.0-1 4.3.3-1")
async def a_pubrel_comes_again(site: Site) -> None:
    reader = await site.persistent("reader")
    await reader.subscribe((site.topic(), 2))
    writer = await site.login("writer")
    writer.send(publish(site.topic(), b"x", level=site.level, qos=2, mid=9))
    await writer.get(PUBREC)
    writer.send(ack(PUBREL, 9))
    await writer.get(PUBCOMP)
    got = await reader.get(3)
    reader.send(ack(PUBREC, got.mid))
    await reader.get(PUBREL)
    reader.close()
    reader = await site.persistent("reader")
    assert (await reader.get(PUBREL)).mid == got.mid


@states("4.6.0-2 4.6.0-3 4.6.0-4 4.6.0-5 4.6.0-6", "4.6.0-2 4.6.0-3 4.6.0-4 4.6.0-5 4.6.0-6")
async def everything_keeps_its_order(site: Site) -> None:
    reader, writer = await pair(site)
    count = 15
    for qos, kind in ((1, PUBACK), (2, PUBREC)):
        raw = b"".join(
            publish(site.topic(), b"%d" % mid, level=site.level, qos=qos, mid=mid)
            for mid in range(1, count + 1)
        )
        writer.send(raw)
        assert [(await writer.get(kind)).mid for _ in range(count)] == list(range(1, count + 1))
        if qos == 2:
            writer.send(*(ack(PUBREL, mid) for mid in range(1, count + 1)))
            answers = [(await writer.get(PUBCOMP)).mid for _ in range(count)]
            assert answers == list(range(1, count + 1))
        got = [await reader.get(3) for _ in range(count)]
        assert [one.payload for one in got] == [b"%d" % mid for mid in range(1, count + 1)]
        if qos == 1:
            reader.send(*(ack(PUBACK, one.mid) for one in got))
            continue
        reader.send(*(ack(PUBREC, one.mid) for one in got))
        released = [(await reader.get(PUBREL)).mid for _ in range(count)]
        assert released == [one.mid for one in got]
        reader.send(*(ack(PUBCOMP, mid) for mid in released))


PROPS = (
    (w.FORMAT, 1), (w.CONTENT, "text/plain"), (w.RESPONSE, "answer/here"),
    (w.CORRELATION, b"\x00\xff"), (w.USER, ("b", "1")), (w.USER, ("a", "2")), (w.USER, ("b", "1")),
)  # fmt: skip


@states("3.3.2-4 3.3.2-13 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-19 3.3.2-20 3.3.2-3")
async def properties_are_passed_on(site: Site) -> None:
    reader, writer = await pair(site)
    await writer.publish(site.topic(), b"x", more=PROPS, retain=True)
    late = await site.login("late")
    await late.subscribe((site.topic(), 1))
    old = await site.login("old", level=4)
    await old.subscribe((site.topic(), 1))
    for one in (reader, late):
        got = await one.get(3)
        assert got.props == {
            w.FORMAT: [1], w.CONTENT: [b"text/plain"], w.RESPONSE: [b"answer/here"],
            w.CORRELATION: [b"\x00\xff"], w.USER: [("b", "1"), ("a", "2"), ("b", "1")],
        }  # fmt: skip
    assert (await old.get(3)).payload == b"x"


@states("3.3.2-5 3.3.2-6")
async def a_message_expires(site: Site) -> None:
    reader = await site.persistent("reader")
    await reader.subscribe((site.topic(), 1))
    reader.send(w.DISCONNECT)
    await reader.ended()
    writer = await site.login("writer")
    await writer.publish(site.topic(), b"short", more=((w.EXPIRY, 1),))
    await writer.publish(site.topic(), b"long", more=((w.EXPIRY, 60),))
    await asyncio.sleep(2.1)
    reader = await site.persistent("reader")
    got = await reader.get(3)
    assert got.payload == b"long"
    assert 50 <= got.props[w.EXPIRY][0] <= 58
    assert await reader.barrier() == []


@states("3.3.2-5")
async def a_retained_message_expires(site: Site) -> None:
    writer = await site.login("writer")
    await writer.publish(site.topic(), b"short", more=((w.EXPIRY, 1),), retain=True)
    await asyncio.sleep(2.1)
    await writer.subscribe((site.topic(), 1))
    assert await writer.barrier() == []


@states("3.3.2-8 3.3.2-9 3.3.2-12 3.2.2-17")
async def topic_aliases(site: Site) -> None:
    reader, writer = await pair(site)
    most = writer.connack.props[w.ALIAS_MAX][0]
    assert most >= 1
    await writer.publish(site.topic(), b"1", more=((w.ALIAS, 1),))
    await writer.publish("", b"2", more=((w.ALIAS, 1),))
    assert [(await reader.get(3)).payload for _ in range(2)] == [b"1", b"2"]
    for alias in (0, most + 1):
        await rejected(site, publish(site.topic(), level=5, more=((w.ALIAS, alias),)))
    await rejected(site, publish("", level=5, more=((w.ALIAS, 1),)))


@states("3.1.2-26 3.1.2-27 3.3.2-11")
async def the_broker_sends_no_more_aliases_than_allowed(site: Site) -> None:
    for most in (0, 2):
        reader = await site.login(f"reader{most}", more=((w.ALIAS_MAX, most),) if most else ())
        await reader.subscribe((site.topic("#"), 1))
        writer = await site.login("writer")
        names: dict[int, str] = {}
        for number in (1, 2, 3, 1, 2, 3):
            await writer.publish(site.topic(f"{number}"), b"x")
            got = await reader.get(3)
            [alias] = got.props.get(w.ALIAS, [0])
            assert 0 <= alias <= most
            if got.topic and alias:
                names[alias] = got.topic
            assert (got.topic or names[alias]) == site.topic(f"{number}")


@states("3.3.2-14", mosquitto="takes it, and passes it on")
async def a_response_topic_has_no_wildcards(site: Site) -> None:
    await rejected(site, publish(site.topic(), level=5, qos=1, more=((w.RESPONSE, "a/#"),)))


@states("3.3.4-6", mosquitto="takes it")
async def a_client_sends_no_subscription_identifier(site: Site) -> None:
    await rejected(site, publish(site.topic(), level=5, qos=1, more=((w.SUB_ID, 1),)))


@states("3.3.4-9 4.9.0-1 4.9.0-2 4.9.0-3", mosquitto="forgets it after the first acknowledgement")
async def the_receive_maximum_of_a_client_is_kept(site: Site) -> None:
    reader, writer = await pair(site, 1, more=((w.RECEIVE_MAX, 3),))
    for number in range(8):
        await writer.publish(site.topic(), b"%d" % number)
    writer.send(publish(site.topic(), b"free", level=5))
    held: list[w.Got] = []
    for number in range(8):
        got = await reader.get(3)
        while got.qos == 0:
            got = await reader.get(3)
        held.append(got)
        assert got.payload == b"%d" % number
        if len(held) == 3:
            assert not [one for one in await reader.barrier() if one.qos]
            reader.send(*(ack(PUBACK, one.mid) for one in held))
            held.clear()


@states("3.1.2-25")
async def packets_are_not_larger_than_the_client_accepts(site: Site) -> None:
    reader, writer = await pair(site, 1, more=((w.MAX_PACKET, 200),))
    await writer.publish(site.topic(), b"x" * 1_000)
    await writer.publish(site.topic(), b"small")
    assert (await reader.get(3)).payload == b"small"


@states("3.4.2-1 3.5.2-1 3.6.2-1 3.7.2-1")
async def reasons_of_acknowledgements(site: Site) -> None:
    one = await site.login()
    assert (await one.publish(site.topic("nobody"), b"x")).code == 0x10
    await one.subscribe((site.topic(), 0))
    one.send(publish(site.topic(), b"x", level=5, qos=1, mid=3))
    codes = {}
    for _ in range(2):
        got = await one.next()
        assert got is not None
        codes[got.kind] = got.code
    assert codes[PUBACK] == 0
    one.send(ack(PUBREL, 500))
    assert (await one.get(PUBCOMP)).code in {0, 0x92}


@states("4.13.1-1 4.13.2-1", "4.8.0-1")
async def cut_off_packets_end_the_connection(site: Site) -> None:
    for raw in (packet(0x32, b"\x00"), packet(0x30, string("a")[:-1]), packet(0x40, b"\x00")):
        await rejected(site, raw)
