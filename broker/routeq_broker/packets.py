"""Packets in bytes. CONNECT, SUBSCRIBE and UNSUBSCRIBE are read by amqtt; the hot ones here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from amqtt.adapters import BufferReader
from amqtt.errors import AMQTTError, MQTTError
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.packet import MQTTFixedHeader
from amqtt.mqtt.subscribe import SubscribePacket
from amqtt.mqtt.unsubscribe import UnsubscribePacket

from routeq_broker.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Coroutine

CONNECT, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 3, 4, 5, 6, 7
SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 8, 10, 12, 14

PINGRESP = b"\xd0\x00"
CONNACK_OLD_VERSION = b"\x20\x02\x00\x01"
CONNACK_VERSION_5 = b"\x20\x03\x00\x84\x00"
"""For a client that spoke MQTT 5: its own form of "unsupported protocol version"."""

CONNACK_BAD_ID = b"\x20\x02\x00\x02"
NOT_AUTHORIZED = 5

Connect: TypeAlias = ConnectPacket
"""A CONNECT as `read_connect` gives it."""

_T = TypeVar("_T")


def split(buffer: bytearray, start: int, largest: int) -> tuple[int, int] | None:
    """Where the body of the packet at `start` begins and ends; None: it is not all here.

    Raises:
        ProtocolError: its length makes no sense, or is more than `largest`.
    """
    length, shift, at, size = 0, 0, start + 1, len(buffer)
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
            raise ProtocolError("a packet's length takes more than four bytes")
    if length > largest:
        raise ProtocolError(f"a packet of {length} bytes is larger than the limit of {largest}")
    return (at, at + length) if at + length <= size else None


def publish(topic: bytes, payload: bytes, *, qos: int, dup: bool, retain: bool, mid: int) -> bytes:
    """A PUBLISH packet."""
    head = len(topic).to_bytes(2, "big") + topic
    if qos:
        head += mid.to_bytes(2, "big")
    first = 0x30 | dup << 3 | qos << 1 | retain
    return b"".join((bytes((first,)), _length(len(head) + len(payload)), head, payload))


def _length(value: int) -> bytes:
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_publish(buffer: bytearray, first: int, start: int, end: int) -> tuple[str, bytes, int]:
    """Topic, payload and packet id (0 for QoS 0) of a PUBLISH body.

    Raises:
        ProtocolError: it is cut off, its topic is no topic, or its QoS is 3.
    """
    at = start + 2 + int.from_bytes(buffer[start : start + 2], "big")
    mid = 0
    qos = first >> 1 & 3
    try:
        topic = bytes(buffer[start + 2 : at]).decode()
    except UnicodeDecodeError:
        raise ProtocolError("a topic is no UTF-8") from None
    if qos:
        mid = int.from_bytes(buffer[at : at + 2], "big")
        at += 2
    if at > end or qos == 3 or (qos and not mid):
        raise ProtocolError("a PUBLISH is malformed")
    if not topic or "+" in topic or "#" in topic or "\0" in topic:
        raise ProtocolError(f"{topic!r} is no topic to publish to")
    return topic, bytes(buffer[at:end]), mid


def short(kind: int, mid: int) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""
    flags = 2 if kind == PUBREL else 0
    return bytes((kind << 4 | flags, 2)) + mid.to_bytes(2, "big")


def connack(*, session_present: bool) -> bytes:
    """A CONNACK that accepts."""
    return bytes((0x20, 2, session_present, 0))


def refusal(code: int) -> bytes:
    """A CONNACK that refuses [3.2.2.3]."""
    return bytes((0x20, 2, 0, code))


def suback(mid: int, codes: list[int]) -> bytes:
    """A SUBACK: the granted QoS of each filter, 0x80 for a refusal."""
    return bytes((0x90,)) + _length(2 + len(codes)) + mid.to_bytes(2, "big") + bytes(codes)


def unsuback(mid: int) -> bytes:
    """An UNSUBACK."""
    return b"\xb0\x02" + mid.to_bytes(2, "big")


def read_connect(first: int, body: bytes) -> ConnectPacket:
    """A CONNECT, read by amqtt."""
    return _read(ConnectPacket.from_stream, first, body)


def read_subscribe(first: int, body: bytes) -> SubscribePacket:
    """A SUBSCRIBE, read by amqtt."""
    return _read(SubscribePacket.from_stream, first, body)


def read_unsubscribe(first: int, body: bytes) -> UnsubscribePacket:
    """An UNSUBSCRIBE, read by amqtt."""
    return _read(UnsubscribePacket.from_stream, first, body)


def _read(read: Any, first: int, body: bytes) -> Any:  # noqa: ANN401 - amqtt's packets
    header = MQTTFixedHeader(first >> 4, first & 15, len(body))
    try:
        return _now(read(BufferReader(body), fixed_header=header))
    except (AMQTTError, MQTTError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise ProtocolError(f"a packet of type {first >> 4} is malformed: {error}") from None


def _now(read: Coroutine[Any, Any, _T]) -> _T:
    """Amqtt reads from a stream; from a buffer it never has to wait."""
    try:
        read.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    read.close()
    raise ProtocolError("a packet ends too early")
