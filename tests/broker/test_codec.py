"""The codec: what it writes an independent reader reads, and no bytes at all confuse it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeq_broker.errors import ProtocolError
from routeq_broker.protocol import acks, connect, fields, framing, properties, publish, subscribe
from routeq_broker.protocol.subscribe import Options
from routeq_mqtt.transport import codec
from tests.broker import wire

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
TOPIC = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=40
)
BYTES = st.binary(max_size=300)
LEVEL = st.sampled_from([4, 5])
MID = st.integers(1, 65_535)
MESSAGE_PROPS = st.fixed_dictionaries(
    {},
    optional={
        wire.FORMAT: st.integers(0, 1),
        wire.EXPIRY: st.integers(0, 2**32 - 1),
        wire.CONTENT: TEXT,
        wire.RESPONSE: TOPIC,
        wire.CORRELATION: st.binary(max_size=40),
    },
)
USERS = st.lists(st.tuples(TEXT, TEXT), max_size=3)


def read_back(packet: bytes, level: int) -> wire.Got:
    length, at = wire.read_varint(packet, 1)
    assert at + length == len(packet)
    return wire.parsed(packet[0], packet[at:], level)


def body_of(packet: bytes) -> tuple[int, bytes]:
    place = framing.split(packet, 0, 1 << 28)
    assert place is not None
    return packet[0], packet[place[0] : place[1]]


@given(st.integers(0, fields.LARGEST_VARINT))
def test_a_varint_comes_back(value: int) -> None:
    assert fields.varint(value) == wire.varint(value)
    assert fields.Reader(fields.varint(value)).varint() == value


@pytest.mark.parametrize("value", [-1, fields.LARGEST_VARINT + 1])
def test_a_varint_that_does_not_fit(value: int) -> None:
    with pytest.raises(ValueError, match=str(value)):
        fields.varint(value)


@pytest.mark.parametrize("raw", [b"\x80\x00", b"\x80\x80\x80\x80\x01", b"\xff"])
def test_a_varint_that_is_malformed(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        fields.Reader(raw).varint()


@given(TOPIC, BYTES, st.integers(0, 2), MID, st.booleans(), LEVEL, MESSAGE_PROPS, USERS)
def test_a_publish_comes_back(
    topic: str, payload: bytes, qos: int, mid: int, retain: bool, level: int,
    chosen: dict[int, Any], users: list[tuple[str, str]],
) -> None:  # fmt: skip
    more = (*chosen.items(), *((wire.USER, pair) for pair in users)) if level == 5 else ()
    packet = wire.publish(
        topic, payload, level=level, qos=qos, mid=mid, retain=retain, more=tuple(more)
    )
    place = framing.split(packet, 0, 1 << 28)
    assert place is not None
    got = publish.read(bytearray(packet), packet[0], *place, mqtt5=level == 5)
    assert (got.topic, got.payload, got.qos, got.retain) == (topic, payload, qos, retain)
    assert got.mid == (mid if qos else 0)
    out = publish.encode(
        got.topic, got.payload, qos=qos, retain=retain, mid=mid,
        encoded=got.properties if level == 5 else None,
    )  # fmt: skip
    again = read_back(out, level)
    assert (again.topic, again.payload, again.qos, again.retain) == (topic, payload, qos, retain)
    wanted = {name: [value] for name, value in chosen.items() if name != wire.EXPIRY}
    raw = {
        name: [value.encode() if isinstance(value, str) else value for value in values]
        for name, values in wanted.items()
    }
    if level == 5:
        assert got.expiry == chosen.get(wire.EXPIRY)
        assert again.props == raw | ({wire.USER: users} if users else {})


@given(TOPIC, BYTES, st.integers(0, 1), MID, st.booleans(), st.booleans())
def test_the_client_reads_what_the_broker_writes_and_the_other_way_round(
    topic: str, payload: bytes, qos: int, mid: int, retain: bool, mqtt5: bool
) -> None:
    out = bytearray(
        publish.encode(
            topic, payload, qos=qos, retain=retain, mid=mid, encoded=b"" if mqtt5 else None
        )
    )
    place = codec.split(out, 0)
    assert place is not None
    read = codec.decode_publish(out, out[0], *place, mqtt5=mqtt5)
    assert read == (topic, payload, qos, mid if qos else 0)
    sent = bytearray(
        codec.encode_publish(topic, payload, qos=qos, retain=retain, packet_id=mid, mqtt5=mqtt5)
    )
    assert sent == out
    assert codec.encode_puback(mid) == acks.encode(framing.PUBACK, mid)


@given(
    TEXT, LEVEL, st.booleans(), st.integers(0, 65_535), st.none() | TEXT, st.none() | TEXT,
    st.none() | st.tuples(TOPIC, st.binary(max_size=60)), st.integers(0, 2), st.booleans(),
    MESSAGE_PROPS, st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_a_connect_comes_back(
    client_id: str, level: int, clean: bool, keep_alive: int, user: str | None,
    password: str | None, will: tuple[str, bytes] | None, will_qos: int, will_retain: bool,
    will_props: dict[int, Any], delay: int,
) -> None:  # fmt: skip
    if level == 4 and user is None:
        password = None
    packet = wire.connect(
        client_id, level=level, clean=clean, keep_alive=keep_alive, user=user, password=password,
        will=will, will_qos=will_qos, will_retain=will_retain,
        will_props=(*will_props.items(), (wire.WILL_DELAY, delay)),
        more=((wire.SESSION_EXPIRY, delay), (wire.USER, ("a", "b"))),
    )  # fmt: skip
    got = connect.read(*body_of(packet))
    assert (got.mqtt5, got.client_id, got.clean) == (level == 5, client_id, clean)
    assert (got.keep_alive, got.user) == (keep_alive, user)
    assert got.password == (None if password is None else password.encode())
    if will is None:
        assert got.will is None
    else:
        assert got.will is not None
        assert (got.will.topic, got.will.payload) == will
        assert (got.will.qos, got.will.retain) == (will_qos, will_retain)
        assert got.will.delay == (delay if level == 5 else 0)
    assert got.session_expiry == (delay if level == 5 else 0 if clean else connect.FOR_EVER)


OPTIONS = st.builds(
    Options, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2), st.just(0)
)


@given(st.lists(st.tuples(TEXT, OPTIONS), min_size=1, max_size=4), MID, LEVEL)
def test_a_subscribe_comes_back(wanted: list[tuple[str, Options]], mid: int, level: int) -> None:
    if level == 4:
        wanted = [(name, Options(options.qos)) for name, options in wanted]
    wanted = [(name, one) for name, one in wanted if not name.startswith("$share/")] or [
        ("t", Options(1))
    ]
    packet = wire.subscribe(
        *((name, options.encoded) for name, options in wanted), level=level, mid=mid
    )
    got = subscribe.read_subscribe(*body_of(packet), mqtt5=level == 5)
    assert got == (mid, wanted)
    answer = read_back(subscribe.suback(mid, [1, 0x97], mqtt5=level == 5), level)
    assert (answer.mid, answer.codes) == (mid, [1, 0x97 if level == 5 else 0x80])
    names = [name for name, _ in wanted]
    packet = wire.unsubscribe(*names, level=level, mid=mid)
    assert subscribe.read_unsubscribe(*body_of(packet), mqtt5=level == 5) == (mid, names)


@given(st.sampled_from([4, 5, 6, 7]), MID, st.sampled_from([0, 0x10, 0x87, 0x97]))
def test_an_acknowledgement_comes_back(kind: int, mid: int, reason: int) -> None:
    packet = acks.encode(kind, mid, reason)
    assert acks.read(*body_of(packet), mqtt5=True) == (mid, reason)
    assert packet == (wire.ack(kind, mid, reason) if reason else wire.ack(kind, mid))


READERS: list[Callable[[int, bytes, bool], object]] = [
    lambda first, body, mqtt5: connect.read(first, body),
    lambda first, body, mqtt5: subscribe.read_subscribe(first, body, mqtt5=mqtt5),
    lambda first, body, mqtt5: subscribe.read_unsubscribe(first, body, mqtt5=mqtt5),
    lambda first, body, mqtt5: acks.read(first, body, mqtt5=mqtt5),
    lambda first, body, mqtt5: acks.read_disconnect(first, body, mqtt5=mqtt5),
    lambda first, body, mqtt5: publish.read(bytearray(body), first, 0, len(body), mqtt5=mqtt5),
]
SAMPLES = [
    wire.connect("c", level=5, will=("w", b"x"), user="u", password="p", more=((17, 5),)),
    wire.connect("c", will=("w", b"x"), user="u", password="p"),
    wire.subscribe(("a/+", 1), ("b", 2), level=5, more=((11, 300),)),
    wire.unsubscribe("a", "b", level=5),
    wire.publish("t", b"x", level=5, qos=1, more=((1, 1), (2, 9), (38, ("k", "v")), (35, 3))),
    wire.ack(4, 7, 0, 0),
    wire.packet(0xE0, b"\0", wire.props((17, 5))),
]


@given(st.integers(0, 255), st.binary(max_size=60), st.booleans())
def test_any_bytes_are_read_or_refused(first: int, body: bytes, mqtt5: bool) -> None:
    for read in READERS:
        try:
            read(first, body, mqtt5)
        except ProtocolError as error:
            code = error.code
        else:
            continue
        assert 0x80 <= code <= 0xA2


@given(st.sampled_from(SAMPLES), st.data(), st.booleans())
def test_a_packet_that_is_changed_or_cut_off_is_read_or_refused(
    packet: bytes, data: st.DataObject, mqtt5: bool
) -> None:
    changed = bytearray(packet)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    body = bytes(changed[2 : data.draw(st.integers(2, len(changed)))])
    for read in READERS:
        try:
            read(changed[0], body, mqtt5)
        except ProtocolError:
            continue


@given(st.binary(max_size=80))
def test_properties_are_read_whole_or_refused(raw: bytes) -> None:
    reader = fields.Reader(fields.varint(len(raw)) + raw)
    try:
        found = properties.read(reader, properties.OF_PUBLISH)
    except ProtocolError:
        return
    assert reader.left == 0
    wanted = wire.read_props(wire.varint(len(raw)) + raw, 0)[0]
    assert found.numbers.keys() | found.texts.keys() | found.binaries.keys() == (
        wanted.keys() - {wire.USER}
    )


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (struct.pack("!BH", 35, 0), 0x94), (b"\x01\x02", 0x82), (b"\x02" + bytes(8), 0x81),
        (b"\x01\x00\x01\x00", 0x82), (b"\x11" + bytes(4), 0x82), (b"\x7f", 0x81),
        (b"\x08\x00\x01#", 0x82), (b"\x0b\x01", 0x82),
    ],
)  # fmt: skip
def test_a_property_that_is_wrong_is_named(raw: bytes, code: int) -> None:
    body = wire.string("t") + wire.varint(len(raw)) + raw
    with pytest.raises(ProtocolError) as error:
        publish.read(bytearray(body), 0x30, 0, len(body), mqtt5=True)
    assert error.value.code == code
