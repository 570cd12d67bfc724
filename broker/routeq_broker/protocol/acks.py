"""PUBACK, PUBREC, PUBREL, PUBCOMP and DISCONNECT (MQTT 5, sections 3.4 to 3.7 and 3.14)."""

from __future__ import annotations

from typing import NamedTuple

from routeq_broker.errors import ProtocolError
from routeq_broker.protocol import framing, properties, reasons
from routeq_broker.protocol.fields import Reader


class Ack(NamedTuple):
    """An acknowledgement, of whatever kind."""

    mid: int
    reason: int


class Disconnect(NamedTuple):
    """A DISCONNECT; `session_expiry` where it changes that of the CONNECT."""

    reason: int
    session_expiry: int | None


def read(first: int, body: bytes, *, mqtt5: bool) -> Ack:
    """A PUBACK, PUBREC, PUBREL or PUBCOMP.

    Raises:
        ProtocolError: it is malformed.
    """
    needed = 2 if first >> 4 == framing.PUBREL else 0
    if first & 15 != needed:
        raise ProtocolError("wrong flags in a fixed header [MQTT-2.1.3-1, MQTT-3.6.1-1]")
    reader = Reader(body)
    mid = reader.number(2)
    reason = reader.number(1) if mqtt5 and reader.left else reasons.SUCCESS
    if mqtt5 and reader.left:
        properties.read(reader, properties.OF_ACK)
    reader.done()
    if not mid:
        raise ProtocolError("packet identifier 0 [MQTT-2.2.1-3]")
    return Ack(mid, reason)


def read_disconnect(first: int, body: bytes, *, mqtt5: bool) -> Disconnect:
    """A DISCONNECT.

    Raises:
        ProtocolError: it is malformed.
    """
    if first & 15:
        raise ProtocolError("wrong flags in a fixed header [MQTT-3.14.1-1]")
    reader = Reader(body)
    reason = reader.number(1) if mqtt5 and reader.left else reasons.SUCCESS
    found = (
        properties.read(reader, properties.OF_DISCONNECT)
        if mqtt5 and reader.left
        else properties.NONE
    )
    reader.done()
    return Disconnect(reason, found.numbers.get(properties.SESSION_EXPIRY))


def encode(kind: int, mid: int, reason: int = reasons.SUCCESS) -> bytes:
    """An acknowledgement; its reason is left out where it is Success, and always for 3.1.1."""
    flags = 2 if kind == framing.PUBREL else 0
    if not reason:
        return bytes((kind << 4 | flags, 2)) + mid.to_bytes(2, "big")
    return bytes((kind << 4 | flags, 3)) + mid.to_bytes(2, "big") + bytes((reason,))


def disconnect(reason: int) -> bytes:
    """A DISCONNECT of the broker; MQTT 5 only."""
    return bytes((framing.DISCONNECT << 4, 1, reason))
