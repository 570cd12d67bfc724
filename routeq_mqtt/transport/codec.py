"""The two MQTT packets that carry all the traffic, PUBLISH and PUBACK, without paho's overhead.

Everything else (CONNECT, SUBSCRIBE, PINGREQ, DISCONNECT, …) stays with paho. Sections name the
MQTT 5 specification.
"""

from __future__ import annotations

from functools import lru_cache

CONNACK = 0x20
PUBLISH = 0x30
PUBACK = 0x40
PINGREQ = b"\xc0\x00"
_TYPE = 0xF0
_DUP, _QOS, _RETAIN = 0x08, 0x06, 0x01


class MalformedPacket(Exception):
    """The broker sent bytes that are no MQTT packet; the connection cannot go on."""


def encode_length(value: int) -> bytes:
    """A Variable Byte Integer (1.5.5)."""
    if value < 128:
        return bytes((value,))
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


@lru_cache(maxsize=1024)
def _topic_field(topic: str) -> bytes:
    raw = topic.encode()
    return len(raw).to_bytes(2, "big") + raw


def encode_publish(
    topic: str, payload: bytes, *, qos: int, retain: bool, packet_id: int, mqtt5: bool
) -> bytes:
    """A PUBLISH packet without properties (3.3)."""
    head = _topic_field(topic)
    if qos:
        head += packet_id.to_bytes(2, "big")
    if mqtt5:
        head += b"\x00"
    first = PUBLISH | qos << 1 | retain
    return b"".join((bytes((first,)), encode_length(len(head) + len(payload)), head, payload))


def encode_puback(packet_id: int) -> bytes:
    """A PUBACK packet that says Success (3.4)."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def split(buffer: bytes | bytearray, start: int) -> tuple[int, int] | None:
    """Find the packet that begins at `start`: where its body begins and ends, or None if cut off.

    Raises:
        MalformedPacket: its length takes more than four bytes.
    """
    length, shift, at = 0, 0, start + 1
    size = len(buffer)
    while True:
        if at >= size:
            return None
        byte = buffer[at]
        at += 1
        length |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 21:
            raise MalformedPacket("a packet's length takes more than four bytes")
    return (at, at + length) if at + length <= size else None


@lru_cache(maxsize=1024)
def _topic_text(raw: bytes) -> str:
    return raw.decode()


def decode_publish(
    buffer: bytearray, first: int, start: int, end: int, *, mqtt5: bool
) -> tuple[str, bytes, int, int]:
    """Topic, payload, QoS and packet id of the PUBLISH whose body is ``buffer[start:end]``.

    Raises:
        MalformedPacket: a field reaches past the end, or the topic is no UTF-8.
    """
    qos = (first & _QOS) >> 1
    at = start + 2 + int.from_bytes(buffer[start : start + 2], "big")
    try:
        topic = _topic_text(bytes(buffer[start + 2 : at]))
    except UnicodeDecodeError as error:
        raise MalformedPacket("a topic is no UTF-8") from error
    packet_id = 0
    if qos:
        packet_id = int.from_bytes(buffer[at : at + 2], "big")
        at += 2
    if mqtt5:
        at = _skip_properties(buffer, at)
    if at > end:
        raise MalformedPacket("a PUBLISH ends inside its header")
    return topic, bytes(buffer[at:end]), qos, packet_id


def _skip_properties(buffer: bytearray, at: int) -> int:
    if at < len(buffer) and buffer[at] == 0:
        return at + 1
    length, shift = 0, 0
    while at < len(buffer):
        byte = buffer[at]
        at += 1
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return at + length
    raise MalformedPacket("a PUBLISH ends inside its properties")


def is_publish(first: int) -> bool:
    """Whether a packet's first byte says PUBLISH."""
    return first & _TYPE == PUBLISH


def flags(first: int) -> tuple[bool, bool]:
    """DUP and RETAIN of a PUBLISH's first byte."""
    return bool(first & _DUP), bool(first & _RETAIN)
