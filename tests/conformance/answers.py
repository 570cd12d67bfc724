"""Checks of what the broker's own packets say, and how large they are."""

from __future__ import annotations

import asyncio
import os

from tests.broker import wire as w
from tests.broker.wire import (
    PINGREQ,
    PUBACK,
    PUBREC,
    PUBREL,
    ack,
    connect,
    packet,
    publish,
    string,
    subscribe,
    unsubscribe,
)  # fmt: skip
from tests.conformance.registry import Site, states

SERVER_DISCONNECTS = {
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96,
    0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
}  # fmt: skip


def requests(site: Site) -> list[bytes]:
    """Packets that are answered with every kind of packet, some with a failure."""
    many = [(f"{site.name}/{number}", 0) for number in range(60)]
    return [
        subscribe(*many, level=5),
        unsubscribe(*(name for name, _ in many), level=5),
        publish(site.topic("nobody"), b"x", level=5, qos=1, mid=1),
        publish(site.topic("nobody"), b"x", level=5, qos=2, mid=2),
        ack(PUBREL, 500),
        ack(PUBREC, 501),
        subscribe(("a#", 0), level=5),
        publish("$SYS/no", b"x", level=5, qos=1, mid=3),
        publish("a/#", b"x", level=5, qos=1, mid=4),
    ]


@states(
    "3.1.2-24 3.2.2-19 3.2.2-20 3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3 "
    "3.9.2-1 3.9.2-2 3.11.2-1 3.11.2-2 3.14.2-3 3.14.2-4",
    mosquitto="sends a CONNACK of any size",
)
async def no_packet_is_larger_than_the_client_accepts(site: Site) -> None:
    for most in (2, 30, 60):
        for request in requests(site):
            one = await site.open()
            one.send(connect(site.id(), level=5, more=((w.MAX_PACKET, most),)), request)
            one.send(connect(site.id(), level=5))  # an error, which ends the connection
            while (got := await one.next()) is not None:
                assert got.size <= most, got


@states("3.1.2-24", mosquitto="sends one byte more")
async def a_message_that_just_fits_is_sent(site: Site) -> None:
    """With each kind of field, and QoS 0 and 1."""
    most, writer = 150, await site.login("writer")
    reader = await site.login("reader", more=((w.MAX_PACKET, most), (w.ALIAS_MAX, 1)))
    await reader.subscribe((site.topic("é"), 1), more=((w.SUB_ID, 300),))
    for qos in (0, 1):
        for more in ((), ((w.EXPIRY, 1_000),), ((w.USER, ("a", "b")), (w.CONTENT, "c"))):
            for payload in range(60, 150):
                writer.send(
                    publish(site.topic("é"), b"x" * payload, level=5, qos=qos, mid=9, more=more)
                )
            await writer.barrier()
            got = await reader.barrier()
            reader.send(*(ack(PUBACK, one.mid) for one in got if one.qos))
            assert max(one.size for one in got) == most


@states("3.1.2-29")
async def no_problem_information_where_it_is_not_wanted(site: Site) -> None:
    for request in requests(site):
        one = await site.login(more=((w.WANT_PROBLEM, 0),))
        one.send(request, connect(site.id(), level=5))  # the second one ends the connection
        while (got := await one.next()) is not None:
            assert got.kind == 14 or not {w.REASON, w.USER} & got.props.keys(), got


@states("3.1.2-28 4.12.0-6")
async def what_was_not_asked_for_is_not_sent(site: Site) -> None:
    for more in ((), ((w.WANT_RESPONSE, 0),)):
        one = await site.login(more=more)
        assert not {w.RESPONSE_INFORMATION, w.AUTH_METHOD} & one.connack.props.keys()
        assert await one.barrier() == []  # above all no AUTH


@states("3.14.2-1 3.14.2-2")
async def a_disconnect_of_the_broker_says_why(site: Site) -> None:
    wrong = (connect(site.id(), level=5), b"\xf1\x00", publish("#", level=5), subscribe(level=5))
    for raw in wrong:
        one = await site.persistent()
        one.send(raw)
        while (got := await one.next()) is not None:
            assert got.kind == 14, got
            assert got.code in SERVER_DISCONNECTS, got
            assert w.SESSION_EXPIRY not in got.props


@states("3.14.0-1")
async def no_disconnect_comes_before_the_connack(site: Site) -> None:
    wrong = (
        PINGREQ, publish("t", level=5), connect(site.id(), level=5, flags=3), connect(level=6),
        connect(site.id(), level=5, more=((w.AUTH_METHOD, "none"),)),
        packet(0x10, string("MQTT"), b"\x05\x02\x00\x00", b"\x7f"),
    )  # fmt: skip
    for raw in wrong:
        one = await site.open()
        one.send(raw)
        while (got := await one.next()) is not None:
            assert got.kind == 2, got
            assert got.code, got


@states("3.2.2-9 3.2.2-10 3.2.2-12 3.2.2-13")
async def what_the_connack_does_not_exclude_is_served(site: Site) -> None:
    """No Maximum QoS and no Retain Available of 0: all that is taken, also of a Last Will."""
    will = (site.topic("will"), b"gone")
    mortal = await site.login("mortal", will=will, will_qos=2, will_retain=True)
    granted = mortal.connack.props
    assert granted.get(w.MAX_QOS, [2]) == [2]
    assert granted.get(w.RETAIN_AVAILABLE, [1]) == [1]
    reader = await site.login("reader")
    names = [(site.topic(f"{qos}"), qos) for qos in range(3)]
    assert await reader.subscribe(*names, (site.topic("will"), 2)) == [0, 1, 2, 2]
    writer = await site.login("writer")
    for name, qos in names:
        writer.send(publish(name, b"x", level=5, qos=qos, mid=4 + qos, retain=True))
    writer.send(ack(PUBREL, 6))
    await writer.barrier()
    assert [got.qos for got in await reader.barrier()] == [0, 1, 2]
    mortal.close()
    assert (await reader.get(3)).qos == 2
    late = await site.login("late")
    await late.subscribe((site.topic("#"), 2))
    assert sorted(got.qos for got in await late.barrier()) == [0, 1, 2, 2]


@states("3.3.4-7", mosquitto="takes more")
async def more_than_the_receive_maximum_ends_the_connection(site: Site) -> None:
    one = await site.login()
    [most] = one.connack.props.get(w.RECEIVE_MAX, [65_535])
    for mid in range(1, most + 2):
        one.send(publish(site.topic(), level=5, qos=2, mid=mid))
    one.send(PINGREQ)
    rest = b""
    async with asyncio.timeout(w.TIMEOUT):
        while not (one.reader.at_eof() or rest.endswith(b"\xd0\x00")):
            rest = rest[-4:] + await one.reader.read(100_000)
    assert rest.endswith((b"\xe0\x01\x93", b"\xe0\x02\x93\x00"))


@states("4.2.0-1", "4.2.0-1")
async def bytes_come_whole_and_in_order(site: Site) -> None:
    one = await site.login()
    await one.subscribe((site.topic(), 0))
    sent = [os.urandom(size) for size in (1_000_000, 1, 0, 70_000, 127, 128, 16_383, 16_384)]
    one.send(*(publish(site.topic(), payload, level=site.level) for payload in sent))
    assert [(await one.get(3)).payload for _ in sent] == sent


@states("3.15.1-1")
async def an_auth_packet_has_its_flags(site: Site) -> None:
    one = await site.login()
    one.send(b"\xf1\x00")
    assert await one.ended() in {None, 0x80, 0x81, 0x82}


@states("4.12.1-2")
async def authentication_is_not_begun_again(site: Site) -> None:
    one = await site.login()
    method = w.props((w.AUTH_METHOD, "SCRAM"))
    one.send(packet(0xF0, b"\x19", method))
    assert await one.ended() in {None, 0x80, 0x82, 0x87, 0x8C}


@states("3.1.2-30")
async def nothing_is_processed_behind_an_authentication_method(site: Site) -> None:
    watcher = await site.login("watcher")
    await watcher.subscribe((site.topic(), 1))
    one = await site.open()
    wanted = connect(site.id(), level=5, more=((w.AUTH_METHOD, "SCRAM"),))
    one.send(wanted, publish(site.topic(), b"x", level=5))
    assert (await one.get(2)).code >= 0x80
    assert await one.next() is None
    assert await watcher.barrier() == []
