"""Properties of MQTT 5 packets (section 2.2.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from routeq_broker.errors import ProtocolError
from routeq_broker.protocol import fields, reasons
from routeq_broker.protocol.fields import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable

PAYLOAD_FORMAT = 1
MESSAGE_EXPIRY = 2
CONTENT_TYPE = 3
RESPONSE_TOPIC = 8
CORRELATION_DATA = 9
SUBSCRIPTION_ID = 11
SESSION_EXPIRY = 17
ASSIGNED_CLIENT_ID = 18
SERVER_KEEP_ALIVE = 19
AUTHENTICATION_METHOD = 21
AUTHENTICATION_DATA = 22
REQUEST_PROBLEM_INFORMATION = 23
WILL_DELAY = 24
REQUEST_RESPONSE_INFORMATION = 25
REASON_STRING = 31
RECEIVE_MAXIMUM = 33
TOPIC_ALIAS_MAXIMUM = 34
TOPIC_ALIAS = 35
RETAIN_AVAILABLE = 37
USER_PROPERTY = 38
MAXIMUM_PACKET_SIZE = 39
WILDCARDS_AVAILABLE = 40
SUBSCRIPTION_IDS_AVAILABLE = 41
SHARED_AVAILABLE = 42

_BYTE, _TWO, _FOUR, _VARINT, _BINARY, _TEXT, _PAIR = 1, 2, 4, 5, 6, 7, 8
_TYPES = {
    PAYLOAD_FORMAT: _BYTE, MESSAGE_EXPIRY: _FOUR, CONTENT_TYPE: _TEXT, RESPONSE_TOPIC: _TEXT,
    CORRELATION_DATA: _BINARY, SUBSCRIPTION_ID: _VARINT, SESSION_EXPIRY: _FOUR,
    ASSIGNED_CLIENT_ID: _TEXT, SERVER_KEEP_ALIVE: _TWO, AUTHENTICATION_METHOD: _TEXT,
    AUTHENTICATION_DATA: _BINARY, REQUEST_PROBLEM_INFORMATION: _BYTE, WILL_DELAY: _FOUR,
    REQUEST_RESPONSE_INFORMATION: _BYTE, REASON_STRING: _TEXT, RECEIVE_MAXIMUM: _TWO,
    TOPIC_ALIAS_MAXIMUM: _TWO, TOPIC_ALIAS: _TWO, USER_PROPERTY: _PAIR, MAXIMUM_PACKET_SIZE: _FOUR,
    RETAIN_AVAILABLE: _BYTE, WILDCARDS_AVAILABLE: _BYTE, SUBSCRIPTION_IDS_AVAILABLE: _BYTE,
    SHARED_AVAILABLE: _BYTE,
}  # fmt: skip

_NOT_ZERO = frozenset({RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE, SUBSCRIPTION_ID, TOPIC_ALIAS})
_FLAGS = frozenset({PAYLOAD_FORMAT, REQUEST_PROBLEM_INFORMATION, REQUEST_RESPONSE_INFORMATION})

_MESSAGE = frozenset(
    {PAYLOAD_FORMAT, MESSAGE_EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA, USER_PROPERTY}
)
OF_PUBLISH = _MESSAGE | {TOPIC_ALIAS}
OF_WILL = _MESSAGE | {WILL_DELAY}
OF_CONNECT = frozenset(
    {
        SESSION_EXPIRY, RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE, TOPIC_ALIAS_MAXIMUM,
        REQUEST_RESPONSE_INFORMATION, REQUEST_PROBLEM_INFORMATION, USER_PROPERTY,
        AUTHENTICATION_METHOD, AUTHENTICATION_DATA,
    }
)  # fmt: skip
OF_SUBSCRIBE = frozenset({SUBSCRIPTION_ID, USER_PROPERTY})
OF_UNSUBSCRIBE = frozenset({USER_PROPERTY})
OF_ACK = frozenset({REASON_STRING, USER_PROPERTY})
OF_DISCONNECT = frozenset({SESSION_EXPIRY, REASON_STRING, USER_PROPERTY})

_PASSED_ON = _MESSAGE - {MESSAGE_EXPIRY}


@dataclass(slots=True)
class Properties:
    """What a packet from a client has of them.

    Attributes:
        numbers, texts, binaries: by identifier, each at most once.
        passed_on: the encoded properties of a message that its readers get unchanged.
    """

    numbers: dict[int, int] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    binaries: dict[int, bytes] = field(default_factory=dict)
    passed_on: bytes = b""

    def number(self, identifier: int, default: int) -> int:
        """A number, or the default where it is absent."""
        return self.numbers.get(identifier, default)


NONE = Properties()


def read(reader: Reader, allowed: frozenset[int]) -> Properties:
    """Read the properties at the reader's place.

    Args:
        reader: of the packet.
        allowed: identifiers that this kind of packet may have from a client.

    Raises:
        ProtocolError: one is unknown, not allowed here, there twice, cut off or out of its range.
    """
    length = reader.varint()
    if not length:
        return NONE
    inner = Reader(reader.take(length))
    found = Properties()
    passed_on: list[bytes] = []
    while inner.left:
        start = inner.at
        identifier = inner.varint()
        if identifier not in _TYPES:
            raise ProtocolError(f"property {identifier} does not exist")
        if identifier not in allowed:
            code = reasons.PROTOCOL_ERROR
            raise ProtocolError(f"property {identifier} is not allowed here", code)
        _read_one(inner, identifier, found)
        if identifier in _PASSED_ON:
            passed_on.append(inner.body[start : inner.at])
    found.passed_on = b"".join(passed_on)
    return found


def _read_one(reader: Reader, identifier: int, found: Properties) -> None:
    kind = _TYPES[identifier]
    if kind == _PAIR:
        reader.text()
        reader.text()
        return
    if identifier in found.numbers or identifier in found.texts or identifier in found.binaries:
        raise ProtocolError(f"property {identifier} is there twice", reasons.PROTOCOL_ERROR)
    if kind == _TEXT:
        found.texts[identifier] = reader.text()
    elif kind == _BINARY:
        found.binaries[identifier] = reader.binary()
    else:
        value = reader.varint() if kind == _VARINT else reader.number(kind)
        _check(identifier, value)
        found.numbers[identifier] = value


def _check(identifier: int, value: int) -> None:
    if identifier in _FLAGS and value > 1:
        raise ProtocolError(f"property {identifier} is {value}, not 0 or 1", reasons.PROTOCOL_ERROR)
    if value == 0 and identifier in _NOT_ZERO:
        alias = identifier == TOPIC_ALIAS
        code = reasons.TOPIC_ALIAS_INVALID if alias else reasons.PROTOCOL_ERROR
        raise ProtocolError(f"property {identifier} must not be 0", code)


def number(identifier: int, value: int) -> bytes:
    """One property that is a number, encoded.

    Raises:
        OverflowError: the value does not fit.
    """
    kind = _TYPES[identifier]
    encoded = fields.varint(value) if kind == _VARINT else value.to_bytes(kind, "big")
    return bytes((identifier,)) + encoded


def text(identifier: int, value: str) -> bytes:
    """One property that is a text, encoded."""
    return bytes((identifier,)) + fields.text(value)


def block(encoded: Iterable[bytes]) -> bytes:
    """Properties with the length before them."""
    joined = b"".join(encoded)
    return fields.varint(len(joined)) + joined
