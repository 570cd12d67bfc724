"""Where one packet ends and the next begins (MQTT 5, section 2.1)."""

from __future__ import annotations

from routeq_broker.errors import ProtocolError
from routeq_broker.protocol import reasons
from routeq_broker.protocol.fields import varint

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 14, 15

PINGRESP = b"\xd0\x00"


def split(buffer: bytes | bytearray, start: int, largest: int) -> tuple[int, int] | None:
    """Where the body of the packet at `start` begins and ends; None: it is not all here.

    Raises:
        ProtocolError: its length is malformed, or more than `largest`.
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
    if at - start + length > largest:
        raise ProtocolError(
            f"a packet of {at - start + length} bytes is larger than the limit of {largest}",
            reasons.PACKET_TOO_LARGE,
        )
    return (at, at + length) if at + length <= size else None


def packet(kind: int, flags: int, *parts: bytes) -> bytes:
    """A packet with its fixed header."""
    body = b"".join(parts)
    return bytes((kind << 4 | flags,)) + varint(len(body)) + body
