"""Checks of CONNECT, CONNACK, DISCONNECT, keep-alive and Last Wills."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.broker import wire as w
from tests.broker.wire import DISCONNECT, PINGREQ, connect, packet, publish, string, subscribe
from tests.conformance.registry import Site, states


async def refused(site: Site, *raw: bytes) -> None:
    """The broker ends the connection, with a CONNACK that refuses or without one."""
    one = await site.open()
    one.send(*raw)
    got = await one.next()
    if got is not None:
        assert got.kind == 2, got
        assert got.code, got
        assert got.body[0] == 0, "session present in a refusal"
        assert await one.next() is None


@states("3.1.0-1", "3.1.0-1")
async def the_first_packet_is_a_connect(site: Site) -> None:
    for raw in (PINGREQ, publish("t", level=site.level), subscribe(("t", 0), level=site.level)):
        one = await site.open()
        one.send(raw)
        assert await one.next() is None


@states("3.1.0-2", "3.1.0-2")
async def a_second_connect_is_an_error(site: Site) -> None:
    one = await site.login()
    one.send(connect(site.id(), level=site.level))
    assert await one.ended() in {None, 0x82}


@states("3.1.2-1", "3.1.2-1")
async def another_protocol_name_is_refused(site: Site) -> None:
    for name in ("MQTU", "mqtt", "MQTTX", ""):
        await refused(site, connect(site.id(), name=name, level=site.level))


@states("3.1.2-2", "3.1.2-2")
async def another_protocol_level_is_refused(site: Site) -> None:
    for level in (0, 6, 0x7F):
        await refused(site, connect(site.id(), level=level))


@states("3.1.2-3 2.1.3-1", "3.1.2-3 2.2.2-1 2.2.2-2")
async def reserved_flags_of_a_connect_are_zero(site: Site) -> None:
    await refused(site, connect(site.id(), level=site.level, flags=3))
    await refused(site, connect(site.id(), level=site.level, first=0x11))


@states("3.1.2-4 3.2.2-2 3.1.4-4", "3.1.2-6 3.2.2-1 3.1.4-3")
async def a_clean_start_forgets_the_session(site: Site) -> None:
    one = await site.persistent()
    await one.subscribe((site.topic(), 1))
    one.send(DISCONNECT)
    await one.ended()
    one = await site.persistent(clean=True)
    assert one.connack.body[0] == 0
    await one.publish(site.topic(), b"x")
    assert await one.barrier() == []


@states(
    "3.1.2-5 3.2.2-3 3.1.2-23 3.1.4-4 4.5.0-1",
    "3.1.2-4 3.2.2-2 3.1.2-5 3.1.4-3 4.1.0-1 4.5.0-1",
)
async def a_session_is_resumed(site: Site) -> None:
    one = await site.persistent()
    assert one.connack.body[0] == 0
    await one.subscribe((site.topic(), 1))
    one.send(DISCONNECT)
    await one.ended()
    other = await site.login("other")
    await other.publish(site.topic(), b"kept")
    one = await site.persistent()
    assert one.connack.body[0] == 1
    assert (await one.get(3)).payload == b"kept"


@states("3.1.2-6 3.2.2-3", "3.2.2-3")
async def a_session_that_is_not_there_is_new(site: Site) -> None:
    assert (await site.persistent()).connack.body[0] == 0


@states("4.1.0-2")
async def a_session_ends_when_its_expiry_passes(site: Site) -> None:
    one = await site.login(clean=False, more=((17, 1),))
    one.send(DISCONNECT)
    await one.ended()
    await asyncio.sleep(2.5)
    assert (await site.persistent()).connack.body[0] == 0


@states("3.14.2-2 4.13.1-1")
async def a_disconnect_does_not_add_an_expiry(site: Site) -> None:
    one = await site.login()
    one.send(packet(0xE0, b"\0", w.props((17, 10))))
    assert await one.ended() in {None, 0x82}
    one = await site.persistent("other")
    one.send(packet(0xE0, b"\0", w.props((17, 0))))
    await one.ended()
    assert (await site.persistent("other")).connack.body[0] == 0


async def willing(site: Site, **options: Any) -> tuple[w.Wire, w.Wire]:
    watcher = await site.login("watcher")
    await watcher.subscribe((site.topic("will"), 2))
    will: dict[str, Any] = {"will": (site.topic("will"), b"gone"), "will_qos": 1, **options}
    return watcher, await site.login("mortal", **will)


@states("3.1.2-7 3.1.2-8 3.1.2-9 3.1.2-14", "3.1.2-8 3.1.2-9 3.1.2-16")
async def a_will_is_published_when_the_connection_breaks(site: Site) -> None:
    watcher, mortal = await willing(site)
    mortal.close()
    got = await watcher.get(3)
    assert (got.payload, got.qos, got.retain) == (b"gone", 1, False)
    late = await site.login("late")
    await late.subscribe((site.topic("will"), 1))
    assert await late.barrier() == []


@states("3.1.2-15", "3.1.2-17")
async def a_will_may_be_retained(site: Site) -> None:
    watcher, mortal = await willing(site, will_retain=True)
    mortal.close()
    await watcher.get(3)
    late = await site.login("late")
    await late.subscribe((site.topic("will"), 1))
    got = await late.get(3)
    assert (got.payload, got.retain) == (b"gone", True)


@states("3.1.2-10 3.14.4-3", "3.1.2-10 3.14.4-3")
async def a_disconnect_removes_the_will(site: Site) -> None:
    watcher, mortal = await willing(site)
    mortal.send(DISCONNECT)
    await mortal.ended()
    assert await watcher.barrier() == []


@states("3.14.4-3 3.14.2-1")
async def a_disconnect_may_ask_for_the_will(site: Site) -> None:
    watcher, mortal = await willing(site)
    mortal.send(packet(0xE0, b"\x04"))
    await mortal.ended()
    assert (await watcher.get(3)).payload == b"gone"


@states("3.1.3-9")
async def a_will_waits_for_its_delay(site: Site) -> None:
    options: dict[str, Any] = {
        "will_props": ((w.WILL_DELAY, 1),),
        "more": ((17, 60),),
        "clean": False,
    }
    watcher, mortal = await willing(site, **options)
    mortal.close()
    again = await site.login("mortal", clean=False, more=((17, 60),))
    await asyncio.sleep(2.2)
    assert await watcher.barrier() == []
    assert again.connack.body[0] == 1
    again.close()
    mortal = await site.login("mortal", will=(site.topic("will"), b"gone"), **options)
    began = time.monotonic()
    mortal.close()
    got = await watcher.get(3)
    assert got.payload == b"gone"
    assert time.monotonic() - began > 0.8


@states("3.1.2-8", mosquitto="does not send it at all")
async def a_will_does_not_wait_longer_than_its_session(site: Site) -> None:
    watcher, mortal = await willing(
        site, will_props=((w.WILL_DELAY, 60),), more=((17, 60),), clean=False
    )
    mortal.close()
    await asyncio.sleep(0.2)
    assert await watcher.barrier() == []
    again = await site.login("mortal")  # with a clean start
    await again.barrier()
    assert [got.payload for got in await watcher.barrier()] == [b"gone"]


@states("3.1.3-10 3.1.3-11")
async def a_will_keeps_its_properties(site: Site) -> None:
    given = ((w.FORMAT, 1), (w.CONTENT, "c"), (w.USER, ("b", "1")), (w.USER, ("a", "2")))
    watcher, mortal = await willing(site, will_props=given)
    mortal.close()
    got = await watcher.get(3)
    assert got.props[w.USER] == [("b", "1"), ("a", "2")]
    assert (got.props[w.FORMAT], got.props[w.CONTENT]) == ([1], [b"c"])


@states("3.1.2-11 3.1.2-12 3.1.2-13", "3.1.2-11 3.1.2-13 3.1.2-14 3.1.2-15")
async def flags_of_a_will_that_make_no_sense_are_refused(site: Site) -> None:
    for flags in (0x02 | 8, 0x02 | 0x20, 0x02 | 4 | 0x18):
        will = (site.topic("will"), b"x") if flags & 4 else None
        await refused(site, connect(site.id(), level=site.level, flags=flags, will=will))


@states("", "3.1.2-12")
async def no_will_is_published_without_its_flag(site: Site) -> None:
    watcher, mortal = await willing(site)
    mortal.send(DISCONNECT)
    await mortal.ended()
    for _ in range(2):  # the second one comes when the first has ended for the broker, too
        mortal = await site.login("mortal")
        mortal.close()
    await site.login("mortal")
    assert await watcher.barrier() == []


@states("3.1.2-9", "3.1.2-9")
async def a_will_flag_without_a_will_is_refused(site: Site) -> None:
    await refused(site, connect(site.id(), level=site.level, flags=6))


@states("3.1.2-16 3.1.2-17 3.1.2-18 3.1.2-19", "3.1.2-18 3.1.2-19 3.1.2-20 3.1.2-21 3.1.3-1")
async def fields_are_there_as_the_flags_say(site: Site) -> None:
    await refused(site, connect(site.id(), level=site.level, flags=0x82))
    await refused(site, connect(site.id(), level=site.level, flags=0xC2))
    await refused(site, connect(site.id(), level=site.level, flags=0x02, user="u"))


@states("3.1.3-1 3.1.3-3", "3.1.3-1 3.1.3-3")
async def the_fields_of_a_connect_have_their_order(site: Site) -> None:
    head = string("MQTT") + bytes((site.level, 0xC6, 0, 60)) + b"\0" * (site.level == 5)
    watcher = await site.login("watcher")
    await watcher.subscribe((site.topic("will"), 0))
    parts = (site.id("mortal"), site.topic("will"), "gone", "user", "password")
    will_props = b"\0" * (site.level == 5)
    mortal = await site.open()
    fields = [string(part) for part in parts]
    mortal.send(packet(0x10, head, fields[0], will_props, *fields[1:]))
    assert (await mortal.get(2)).code == 0
    await site.login("mortal")  # the first field is the client identifier: it takes over
    assert (await watcher.get(3)).payload == b"gone"
    await refused(site, packet(0x10, head))
    await refused(site, packet(0x10, head, *fields[:4]))


@states("", "3.1.2-22")
async def a_password_needs_a_user_name(site: Site) -> None:
    await refused(site, connect(site.id(), password="p", flags=0x42))


@states("3.1.2-22", "3.1.2-24")
async def a_silent_client_is_given_up(site: Site) -> None:
    watcher = await site.login("watcher")
    await watcher.subscribe((site.topic("will"), 1))
    mortal = await site.login(keep_alive=1, will=(site.topic("will"), b"gone"))
    began = time.monotonic()
    assert await mortal.ended() in {None, 0x8D}
    assert 1.0 < time.monotonic() - began < 8
    assert (await watcher.get(3)).payload == b"gone"


@states("3.1.3-5", "3.1.3-5")
async def client_identifiers_of_23_characters_are_allowed(site: Site) -> None:
    name = "0123456789ABCDEFabcdefZ"
    one = await w.Wire.login(site.port, name, site.level)
    one.close()


@states("3.1.3-6 3.1.3-7 3.2.2-16")
async def an_empty_client_identifier_is_replaced(site: Site) -> None:
    names = set()
    for _ in range(2):
        one = await site.open()
        one.send(connect("", level=5))
        got = await one.get(2)
        assert got.code == 0
        names.add(got.props[w.ASSIGNED][0])
    assert len(names) == 2


@states("", "3.1.3-6 3.1.3-7 3.1.3-8 3.1.3-9")
async def an_empty_client_identifier_needs_a_clean_session(site: Site) -> None:
    one = await site.open()
    one.send(connect("", clean=False))
    assert (await one.get(2)).code == 2
    assert await one.next() is None
    one = await site.open()
    one.send(connect("", clean=True))
    assert (await one.get(2)).code == 0


@states("3.1.3-4 3.1.3-12 1.5.4-1 1.5.4-2 3.1.3-11", "3.1.3-4 3.1.3-10 3.1.3-11 1.5.3-1 1.5.3-2")
async def texts_of_a_connect_are_utf_8(site: Site) -> None:
    for bad in (b"\xff", b"a\0b", b"\xed\xa0\x80", b"\xc0\xaf"):
        await refused(site, connect(bad, level=site.level))
        await refused(site, connect(site.id(), level=site.level, will=(bad, b"x")))
        raw = connect(site.id(), level=site.level, user="u" * len(bad))
        await refused(site, raw.replace(b"u" * len(bad), bad))


@states("3.1.4-3 3.1.3-2", "3.1.4-2 3.1.3-2")
async def a_second_client_takes_over(site: Site) -> None:
    first = await site.persistent()
    await first.subscribe((site.topic(), 1))
    second = await site.persistent()
    assert second.connack.body[0] == 1
    assert await first.ended() in {None, 0x8E}
    await second.barrier()


@states("3.1.4-3", mosquitto="does not say so")
async def who_is_taken_over_is_told(site: Site) -> None:
    first = await site.login()
    await site.login()
    assert await first.ended() == 0x8E


@states("3.1.4-6 3.1.4-1 3.2.2-6 3.2.2-7", "3.1.4-5 3.1.4-1 3.2.2-4 3.2.2-5")
async def what_follows_a_refused_connect_is_not_processed(site: Site) -> None:
    watcher = await site.login("watcher")
    await watcher.subscribe((site.topic(), 1))
    wrong = connect(site.id(), level=site.level, flags=3)
    await refused(site, wrong + publish(site.topic(), b"x", level=site.level))
    assert await watcher.barrier() == []


@states("3.1.4-5 3.2.0-1 3.2.0-2 3.2.2-1 3.2.2-8", "3.1.4-4 3.2.0-1 3.2.2-6")
async def a_connack_comes_first_and_once(site: Site) -> None:
    one = await site.open()
    more = subscribe((site.topic(), 0), level=site.level)
    one.send(connect(site.id(), level=site.level) + more + PINGREQ)
    got = await one.get(2)
    assert got.body[0] & 0xFE == 0
    assert [p.kind for p in await one.barrier()] == [9]


@states("3.2.2-22")
async def a_keep_alive_is_as_the_client_asked(site: Site) -> None:
    one = await site.login(keep_alive=30)
    assert one.connack.props.get(w.KEEP_ALIVE, [30]) == [30]


@states("3.14.1-1", "3.14.1-1")
async def reserved_flags_of_a_disconnect_are_zero(site: Site) -> None:
    watcher, mortal = await willing(site)
    mortal.send(b"\xe1\x00")
    assert await mortal.ended() in {None, 0x81, 0x82}
    assert (await watcher.get(3)).payload == b"gone"


@states("3.14.4-1 3.14.4-2", "3.14.4-1 3.14.4-2")
async def nothing_is_processed_after_a_disconnect(site: Site) -> None:
    watcher = await site.login("watcher")
    await watcher.subscribe((site.topic(), 1))
    one = await site.login()
    one.send(DISCONNECT + publish(site.topic(), b"x", level=site.level))
    assert await one.ended() is None
    assert await watcher.barrier() == []


@states("3.12.4-1", "3.12.4-1")
async def a_ping_is_answered(site: Site) -> None:
    one = await site.login()
    assert await one.barrier() == []


@states("2.1.3-1 4.13.1-1", "2.2.2-2 4.8.0-1", mosquitto="takes a PUBACK with them")
async def wrong_flags_in_a_fixed_header_end_the_connection(site: Site) -> None:
    for raw in (b"\x41\x02\x00\x01", b"\x60\x02\x00\x01", b"\xf0\x00"):
        one = await site.login()
        one.send(raw, PINGREQ)
        assert await one.ended() in {None, 0x80, 0x81, 0x82}


@states("2.1.3-1", "2.2.2-2", mosquitto="takes it")
async def wrong_flags_of_a_pingreq_end_the_connection(site: Site) -> None:
    one = await site.login()
    one.send(b"\xc1\x00")
    assert await one.ended() in {None, 0x81, 0x82}


@states("4.12.0-1 4.12.0-4")
async def another_authentication_method_is_refused(site: Site) -> None:
    one = await site.open()
    one.send(connect(site.id(), level=5, more=((w.AUTH_METHOD, "SCRAM"),)))
    assert (await one.get(2)).code == 0x8C
    assert await one.next() is None


@states("4.12.0-7")
async def an_auth_packet_without_a_method_is_an_error(site: Site) -> None:
    one = await site.login()
    one.send(b"\xf0\x02\x18\x00")
    assert await one.ended() in {None, 0x80, 0x81, 0x82}


@states("1.5.5-1 2.2.2-1 1.5.7-1")
async def malformed_properties_are_refused(site: Site) -> None:
    head = string("MQTT") + b"\x05\x02\x00\x3c"
    tail = string(site.id())
    for bad in (
        b"\x80\x00",  # a length that is longer than needed
        b"\x05\x11\x00\x00\x00",  # cut off
        w.props((17, 1), (17, 2)),
        w.props((33, 0)),
        w.props((w.EXPIRY, 1)),
        b"\x02\x7f\x00",
        b"\x07\x26\x00\x01\xff\x00\x01a",
    ):
        await refused(site, packet(0x10, head, bad, tail))
