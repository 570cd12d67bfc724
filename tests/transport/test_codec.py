"""The codec of PUBLISH and PUBACK: whatever is encoded is decoded, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeq_mqtt.transport import codec

TOPICS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=40)


@st.composite
def publishes(draw: st.DrawFn) -> dict[str, object]:
    qos = draw(st.sampled_from([0, 1]))
    return {
        "topic": draw(TOPICS),
        "payload": draw(st.binary(max_size=300)),
        "qos": qos,
        "retain": draw(st.booleans()),
        "packet_id": draw(st.integers(1, 0xFFFF)) if qos else 0,
    }


def encoded(fields: dict[str, object], *, mqtt5: bool) -> bytes:
    return codec.encode_publish(mqtt5=mqtt5, **fields)  # type: ignore[arg-type]


def decoded(packet: bytes, *, mqtt5: bool) -> dict[str, object]:
    buffer = bytearray(packet)
    body = codec.split(buffer, 0)
    assert body is not None
    assert body[1] == len(packet)
    topic, payload, qos, packet_id = codec.decode_publish(buffer, buffer[0], *body, mqtt5=mqtt5)
    dup, retain = codec.flags(buffer[0])
    assert not dup
    found = {"topic": topic, "payload": payload, "qos": qos}
    return found | {"retain": retain, "packet_id": packet_id}


@given(publishes(), st.booleans())
def test_a_publish_survives_the_trip(fields: dict[str, object], mqtt5: bool) -> None:
    packet = encoded(fields, mqtt5=mqtt5)
    assert codec.is_publish(packet[0])
    assert decoded(packet, mqtt5=mqtt5) == fields


@given(st.lists(publishes(), min_size=1, max_size=5), st.data())
def test_a_stream_is_the_same_however_it_is_cut(
    many: list[dict[str, object]], data: st.DataObject
) -> None:
    stream = b"".join(encoded(fields, mqtt5=True) for fields in many)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    buffer, found = bytearray(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer += stream[start:end]
        while buffer and (body := codec.split(buffer, 0)) is not None:
            found.append(decoded(bytes(buffer[: body[1]]), mqtt5=True))
            del buffer[: body[1]]
    assert found == many
    assert not buffer


@given(publishes())
def test_properties_of_the_broker_are_skipped(fields: dict[str, object]) -> None:
    plain = encoded(fields, mqtt5=True)
    body = codec.split(plain, 0)
    assert body is not None
    at = body[0] + 2 + len(str(fields["topic"]).encode()) + (2 if fields["qos"] else 0)
    for size in (1, 127, 128, 200):
        properties = codec.encode_length(size) + bytes(size)
        inner = plain[body[0] : at] + properties + plain[at + 1 :]
        packet = plain[:1] + codec.encode_length(len(inner)) + inner
        assert decoded(packet, mqtt5=True) == fields


@given(st.binary(max_size=60), st.booleans())
def test_no_bytes_do_more_than_be_refused(raw: bytes, mqtt5: bool) -> None:
    buffer = bytearray(raw)
    try:
        body = codec.split(buffer, 0) if buffer else None
        if body is not None:
            start, end = body
            _, payload, _, _ = codec.decode_publish(buffer, buffer[0], start, end, mqtt5=mqtt5)
            assert len(payload) <= end - start
    except codec.MalformedPacket:
        pass


@given(st.integers(0, 268_435_455))
def test_a_length_survives_the_trip(length: int) -> None:
    head = b"\x30" + codec.encode_length(length)
    found = codec.split(head, 0)
    assert found == ((len(head), len(head)) if length == 0 else None)
    assert len(head) <= 5


def test_a_length_of_five_bytes_is_refused() -> None:
    with pytest.raises(codec.MalformedPacket, match="more than four bytes"):
        codec.split(b"\x30\xff\xff\xff\xff\x01", 0)
