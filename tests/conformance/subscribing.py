"""Checks of SUBSCRIBE, UNSUBSCRIBE, filters and shared subscriptions."""

from __future__ import annotations

import asyncio
import base64

from tests.broker import wire as w
from tests.broker.wire import PUBACK, ack, packet, publish, string, subscribe, unsubscribe
from tests.conformance.publishing import rejected
from tests.conformance.registry import Site, states


@states("3.8.1-1 2.1.3-1", "3.8.1-1")
async def a_subscribe_has_its_flags(site: Site) -> None:
    for first in (0x80, 0x81, 0x83):
        await rejected(site, subscribe((site.topic(), 0), level=site.level, first=first))


@states("3.8.3-1", "3.8.3-1")
async def a_filter_is_utf_8(site: Site) -> None:
    for bad in (b"\xff", b"a\0b"):
        await rejected(site, subscribe((bad, 0), level=site.level))


@states("3.8.3-2", "3.8.3-3")
async def a_subscribe_has_a_filter(site: Site) -> None:
    await rejected(site, subscribe(level=site.level))


@states("3.8.3-5", "3.8.3-4")
async def reserved_options_are_refused(site: Site) -> None:
    for options in (3, 0x40, 0x80, 0x30 | 1):
        await rejected(site, subscribe((site.topic(), options), level=site.level))


@states("2.2.1-3", "2.3.1-1")
async def a_subscribe_has_a_packet_identifier(site: Site) -> None:
    await rejected(site, subscribe((site.topic(), 0), level=site.level, mid=0))
    await rejected(site, unsubscribe(site.topic(), level=site.level, mid=0))


@states(
    "3.8.4-1 3.8.4-2 3.8.4-5 3.8.4-6 3.9.3-1 3.9.3-2 2.2.1-6",
    "3.8.4-1 3.8.4-2 3.8.4-4 3.8.4-5 3.9.3-1 3.9.3-2 2.3.1-7",
)
async def each_filter_has_its_answer(site: Site) -> None:
    one = await site.login()
    one.send(
        subscribe(
            (site.topic("a"), 0), (site.topic("b"), 1), (site.topic("c"), 2),
            level=site.level, mid=777,
        )
    )  # fmt: skip
    got = await one.get(9)
    assert (got.mid, got.codes) == (777, [0, 1, 2])


@states("3.8.4-5", "3.8.4-4")
async def filters_of_one_packet_are_as_packets_of_their_own(site: Site) -> None:
    writer = await site.login("writer")
    await writer.publish(site.topic("a"), b"kept", retain=True)
    for together in (True, False):
        reader = await site.login(f"reader-{together}")
        wanted = [(site.topic("a"), 0), (site.topic("a"), 1), (site.topic("+"), 1)]
        if together:
            reader.send(subscribe(*wanted, level=site.level))
        else:
            reader.send(
                *(subscribe(one, level=site.level, mid=n) for n, one in enumerate(wanted, 1))
            )
        got = await reader.barrier()
        assert [one.codes for one in got if one.kind == 9] in ([[0, 1, 1]], [[0], [1], [1]])
        assert [one.qos for one in got if one.kind == 3] == [0, 1, 1]


@states("3.8.4-7 3.8.4-8", "3.8.4-6")
async def a_message_has_the_lower_qos(site: Site) -> None:
    one, writer = await site.login(), await site.login("writer")
    await one.subscribe(*((site.topic(f"{qos}"), qos) for qos in range(3)))
    for granted in range(3):
        for sent in range(3):
            writer.send(publish(site.topic(f"{granted}"), level=site.level, qos=sent, mid=5))
            if sent == 2:
                await writer.get(w.PUBREC)
                writer.send(ack(w.PUBREL, 5))
            if sent:
                await writer.get(PUBACK if sent == 1 else w.PUBCOMP)
            assert (await one.get(3)).qos == min(granted, sent)


@states("3.8.4-3 3.8.4-4 3.3.1-9", "3.8.4-3 3.3.1-6")
async def a_filter_again_replaces_the_subscription(site: Site) -> None:
    one = await site.login()
    await one.publish(site.topic(), b"kept", retain=True)
    await one.subscribe((site.topic(), 1))
    assert (await one.get(3)).payload == b"kept"
    await one.subscribe((site.topic(), 0))
    got = await one.get(3)
    assert (got.payload, got.retain, got.qos) == (b"kept", True, 0)
    writer = await site.login("writer")
    await writer.publish(site.topic(), b"once")
    assert [one.qos for one in await one.barrier()] == [0]


@states("3.3.1-9 3.3.1-10 3.3.1-11")
async def retain_handling(site: Site) -> None:
    one = await site.login()
    await one.publish(site.topic(), b"kept", retain=True)
    counts = []
    for handling in (2, 1, 0, 1, 2):
        await one.subscribe((site.topic(), 1 | handling << 4))
        counts.append(len(await one.barrier()))
    other = await site.login("other")
    await other.subscribe((site.topic(), 1 | 1 << 4))
    counts.append(len(await other.barrier()))
    assert counts == [0, 0, 1, 0, 0, 1]


@states("3.8.3-3")
async def no_local(site: Site) -> None:
    one = await site.login()
    await one.subscribe((site.topic(), 1 | 4))
    await one.publish(site.topic(), b"own")
    other = await site.login("other")
    await other.publish(site.topic(), b"other")
    assert [got.payload for got in await one.barrier()] == [b"other"]


@states("3.8.3-4", mosquitto="grants it")
async def no_local_and_shared_is_an_error(site: Site) -> None:
    await rejected(site, subscribe((f"$share/g/{site.topic()}", 1 | 4), level=5))


@states("3.3.4-2", "3.3.5-1")
async def overlapping_subscriptions_give_the_highest_qos(site: Site) -> None:
    one = await site.login()
    await one.subscribe((site.topic("+"), 0), (site.topic("t"), 2), (site.topic("#"), 1))
    writer = await site.login("writer")
    await writer.publish(site.topic("t"), b"x")
    got = await one.barrier()
    assert 1 in {message.qos for message in got}
    assert {message.payload for message in got} == {b"x"}


@states("3.3.4-3 3.3.4-4 3.3.4-5")
async def subscription_identifiers_come_with_messages(site: Site) -> None:
    one = await site.login()
    await one.subscribe((site.topic("+"), 1), more=((w.SUB_ID, 5),))
    await one.subscribe((site.topic("t"), 1), more=((w.SUB_ID, 268_435_455),))
    await one.subscribe((site.topic("#"), 1))
    writer = await site.login("writer")
    await writer.publish(site.topic("t"), b"x")
    ids = [i for got in await one.barrier() for i in got.props.get(w.SUB_ID, [])]
    assert sorted(ids) == [5, 268_435_455]
    await rejected(site, subscribe((site.topic(), 1), level=5, more=((w.SUB_ID, 0),)))


@states("3.10.1-1", "3.10.1-1")
async def an_unsubscribe_has_its_flags(site: Site) -> None:
    await rejected(site, unsubscribe(site.topic(), level=site.level, first=0xA0))


@states("3.10.3-1 3.10.3-2", "3.10.3-1 3.10.3-2")
async def an_unsubscribe_has_filters(site: Site) -> None:
    await rejected(site, unsubscribe(level=site.level))
    await rejected(site, packet(0xA2, b"\0\1", b"\0" * (site.level == 5), string(b"\xff")))


@states(
    "3.10.4-1 3.10.4-2 3.10.4-4 3.10.4-5 3.10.4-6 3.11.3-1 3.11.3-2 2.2.1-6",
    "3.10.4-1 3.10.4-2 3.10.4-4 3.10.4-5 3.10.4-6 2.3.1-7",
)
async def an_unsubscribe_ends_exactly_its_filters(site: Site) -> None:
    one = await site.login()
    await one.subscribe((site.topic("a"), 1), (site.topic("+"), 1), (site.topic("b"), 1))
    one.send(unsubscribe(site.topic("+"), site.topic("never"), level=site.level, mid=99))
    got = await one.get(11)
    assert got.mid == 99
    assert got.codes == ([0, 0x11] if site.level == 5 else [])
    writer = await site.login("writer")
    for name in ("a", "b", "c"):
        await writer.publish(site.topic(name), b"x")
    assert [m.topic for m in await one.barrier()] == [site.topic("a"), site.topic("b")]


@states("3.10.4-3", "3.10.4-3")
async def an_unsubscribe_does_not_take_back_what_is_in_flight(site: Site) -> None:
    reader = await site.persistent("reader")
    await reader.subscribe((site.topic(), 1))
    writer = await site.login("writer")
    await writer.publish(site.topic(), b"x")
    await reader.get(3)
    reader.send(unsubscribe(site.topic(), level=site.level))
    await reader.get(11)
    reader.close()
    reader = await site.persistent("reader")
    assert (await reader.get(3)).payload == b"x"


MATCHES = {
    "sport/tennis/+": ({"sport/tennis/a", "sport/tennis/"}, {"sport/tennis", "sport/tennis/a/b"}),
    "sport/#": ({"sport", "sport/", "sport/a/b"}, {"sports", "Sport"}),
    "+": ({"a"}, {"/a", "a/b"}),
    "/+": ({"/a", "/"}, {"a"}),
    "+/+": ({"/a", "a/b", "/"}, {"a"}),
    "a/+/c/#": ({"a/b/c", "a//c/d"}, {"a/c"}),
}


@states("4.7.1-1 4.7.1-2 3.3.2-3", "4.7.1-2 4.7.1-3 3.3.2-3 3.8.3-2")
async def wildcards(site: Site) -> None:
    one = await site.login()
    writer = await site.login("writer")
    for name, (yes, no) in MATCHES.items():
        await one.subscribe((f"{site.name}/{name}", 1))
        for topic in yes | no:
            await writer.publish(f"{site.name}/{topic}", b"x")
        got = {message.topic for message in await one.barrier()}
        assert got == {f"{site.name}/{topic}" for topic in yes}, name
        one.send(unsubscribe(f"{site.name}/{name}", level=site.level))
        await one.get(11)
    for bad in ("a/#/b", "a#", "a+", "+a/b", ""):
        other = await site.login("other")
        other.send(subscribe((bad, 0), level=site.level))
        got2 = await other.next()
        assert got2 is None or got2.kind == 14 or got2.codes[0] >= 0x80, bad


@states("4.7.2-1", "4.7.2-1")
async def a_leading_wildcard_does_not_match_a_dollar(site: Site) -> None:
    one = await site.login()
    await one.subscribe(("+/broker/uptime", 0), ("#", 0))
    await asyncio.sleep(0.1)
    assert not [got for got in await one.barrier() if got.topic.startswith("$")]
    await one.subscribe(("$SYS/broker/uptime", 0))
    got = await one.barrier()
    assert [one.topic for one in got if one.topic.startswith("$")] == ["$SYS/broker/uptime"]


@states("4.8.2-1 4.8.2-2", mosquitto="grants some of them")
async def a_share_has_a_name(site: Site) -> None:
    for bad in ("$share//t", "$share/a+/t", "$share/#/t", "$share/g", "$share/g/"):
        one = await site.login()
        one.send(subscribe((bad, 0), level=5))
        got = await one.next()
        assert got is None or got.kind == 14 or got.codes[0] >= 0x80, bad


@states("4.8.2-3")
async def a_group_shares_what_is_published(site: Site) -> None:
    members = [await site.login(f"m{number}") for number in range(3)]
    for qos, member in enumerate(members):
        await member.subscribe((f"$share/g/{site.topic()}", qos))
    alone = await site.login("alone")
    await alone.subscribe((site.topic(), 1))
    writer = await site.login("writer")
    for number in range(9):
        await writer.publish(site.topic(), b"%d" % number)
    shares = [await member.barrier() for member in members]
    for qos, share in enumerate(shares):
        assert {got.qos for got in share} == {min(qos, 1)}
    assert sorted(got.payload for share in shares for got in share) == [
        b"%d" % number for number in range(9)
    ]
    assert len(await alone.barrier()) == 9


@states("3.3.1-9", mosquitto="brings them")
async def a_shared_subscription_brings_nothing_retained(site: Site) -> None:
    one = await site.login()
    await one.publish(site.topic(), b"kept", retain=True)
    await one.subscribe((f"$share/g/{site.topic()}", 1))
    assert await one.barrier() == []


@states("4.8.2-6")
async def a_message_that_a_member_refuses_goes_to_no_other(site: Site) -> None:
    members = [await site.login(f"m{number}") for number in range(2)]
    for member in members:
        await member.subscribe((f"$share/g/{site.topic()}", 1))
    writer = await site.login("writer")
    await writer.publish(site.topic(), b"x")
    came = 0
    for member in members:
        for got in await member.barrier():
            came += 1
            member.send(ack(PUBACK, got.mid, 0x80))
    for member in members:
        assert await member.barrier() == []
    assert came == 1


async def websocket(site: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    key = base64.b64encode(b"0123456789abcdef").decode()
    reader, writer = await asyncio.open_connection("127.0.0.1", site.ws_port)
    writer.write(
        "GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: mqtt\r\n\r\n".encode()
    )
    async with asyncio.timeout(20):
        return reader, writer, await reader.readuntil(b"\r\n\r\n")


def frame(data: bytes, kind: int = 2) -> bytes:
    return bytes((0x80 | kind, 0x80 | len(data))) + bytes(4) + data


@states("6.0.0-2 6.0.0-3 6.0.0-4", "6.0.0-2 6.0.0-3 6.0.0-4")
async def websockets(site: Site) -> None:
    reader, writer, head = await websocket(site)
    assert b" 101 " in head
    assert b"sec-websocket-protocol: mqtt" in head.lower()
    raw = w.connect(site.id(), level=site.level)
    writer.write(frame(raw[:5]) + frame(raw[5:] + w.PINGREQ))  # not aligned with packets
    got = b""
    async with asyncio.timeout(20):
        while b"\xd0\x00" not in got:
            start = await reader.readexactly(2)
            assert start[0] == 0x82
            got += await reader.readexactly(start[1])
    assert got[0] == 0x20


@states("6.0.0-1", "6.0.0-1", mosquitto="takes text for binary")
async def a_text_frame_ends_the_connection(site: Site) -> None:
    reader, writer, _ = await websocket(site)
    writer.write(frame(w.connect(site.id(), level=site.level), kind=1))
    rest = b""
    async with asyncio.timeout(w.TIMEOUT):
        while not reader.at_eof():
            rest += await reader.read(1_000)
            assert rest[2:3] != b"\x20", "a CONNACK in a frame"
