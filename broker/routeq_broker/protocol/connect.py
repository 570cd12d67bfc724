"""CONNECT and CONNACK (MQTT 5, sections 3.1 and 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from routeq_broker.errors import ProtocolError
from routeq_broker.protocol import framing, properties, reasons
from routeq_broker.protocol.fields import Reader
from routeq_broker.protocol.publish import check_response_topic, check_topic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from routeq_broker.protocol.properties import Properties

LARGEST = 100_000
"""Bytes that a CONNECT may have: who has not logged in yet holds no more of our memory."""

FOR_EVER = 0xFFFFFFFF
_LEVEL_311, _LEVEL_5 = 4, 5
_USER, _PASSWORD, _WILL_RETAIN, _WILL, _CLEAN, _RESERVED = 0x80, 0x40, 0x20, 0x04, 0x02, 0x01


class UnsupportedVersion(ProtocolError):
    """A CONNECT of a protocol level that is not served.

    Attributes:
        mqtt5: it is one of MQTT 5 or later: it reads a CONNACK with a reason code.
    """

    def __init__(self, name: bytes, level: int) -> None:
        super().__init__(
            f"protocol {name!r} level {level} is not supported, only MQTT 3.1.1 and 5",
            reasons.UNSUPPORTED_PROTOCOL_VERSION,
        )
        self.mqtt5 = level >= _LEVEL_5


@dataclass(frozen=True, slots=True)
class Will:
    """A Last Will.

    Attributes:
        delay: seconds between the end of the connection and its publication.
        expiry: seconds for which it is of use; None: for ever.
        properties: encoded, those that readers get unchanged.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    delay: int = 0
    expiry: int | None = None
    properties: bytes = b""


@dataclass(frozen=True, slots=True)
class Connect:
    """A CONNECT packet.

    Attributes:
        mqtt5: of protocol level 5; else 3.1.1.
        clean: start with a new session.
        session_expiry: seconds for which the session outlives its connection.
        problem_information: reason texts may be sent with any packet.
    """

    mqtt5: bool
    client_id: str
    clean: bool
    keep_alive: int
    user: str | None
    password: bytes | None
    will: Will | None
    properties: Properties

    @property
    def session_expiry(self) -> int:
        """Of MQTT 5 its property; of 3.1.1 all or nothing, by the clean session flag."""
        if self.mqtt5:
            return self.properties.number(properties.SESSION_EXPIRY, 0)
        return 0 if self.clean else FOR_EVER


def read(first: int, body: bytes) -> Connect:
    """A CONNECT.

    Raises:
        UnsupportedVersion: it is of a level that is not served.
        ProtocolError: it is malformed.
    """
    reader = Reader(body)
    name, level = reader.binary(), reader.number(1)
    if name != b"MQTT" or level not in {_LEVEL_311, _LEVEL_5}:
        if name in {b"MQTT", b"MQIsdp"}:
            raise UnsupportedVersion(name, level)
        raise ProtocolError("a CONNECT is of another protocol [MQTT-3.1.2-1]")
    mqtt5 = level == _LEVEL_5
    flags = reader.number(1)
    _check_flags(first, flags, mqtt5=mqtt5)
    keep_alive = reader.number(2)
    found = properties.read(reader, properties.OF_CONNECT) if mqtt5 else properties.NONE
    if (
        properties.AUTHENTICATION_DATA in found.binaries
        and properties.AUTHENTICATION_METHOD not in found.texts
    ):
        raise ProtocolError("authentication data without a method", reasons.PROTOCOL_ERROR)
    client_id = reader.text()
    will = _will(reader, flags, mqtt5=mqtt5) if flags & _WILL else None
    user = reader.text() if flags & _USER else None
    password = reader.binary() if flags & _PASSWORD else None
    reader.done()
    return Connect(mqtt5, client_id, bool(flags & _CLEAN), keep_alive, user, password, will, found)


def _check_flags(first: int, flags: int, *, mqtt5: bool) -> None:
    if first & 15 or flags & _RESERVED:
        raise ProtocolError("reserved flags of a CONNECT are set [MQTT-2.1.3-1, MQTT-3.1.2-3]")
    if flags >> 3 & 3 == 3:
        raise ProtocolError("a Last Will has QoS 3 [MQTT-3.1.2-12]")
    if not flags & _WILL and flags & 0x38:
        raise ProtocolError("flags of a Last Will without one [MQTT-3.1.2-11, MQTT-3.1.2-13]")
    if not mqtt5 and flags & _PASSWORD and not flags & _USER:
        raise ProtocolError("a password without a user name [MQTT-3.1.2-22]")


def _will(reader: Reader, flags: int, *, mqtt5: bool) -> Will:
    found = properties.read(reader, properties.OF_WILL) if mqtt5 else properties.NONE
    check_response_topic(found)
    topic = reader.text()
    payload = reader.binary()
    check_topic(topic)
    return Will(
        topic,
        payload,
        flags >> 3 & 3,
        bool(flags & _WILL_RETAIN),
        found.number(properties.WILL_DELAY, 0),
        found.numbers.get(properties.MESSAGE_EXPIRY),
        found.passed_on,
    )


def connack(
    reason: int, *, mqtt5: bool, session_present: bool = False, encoded: Iterable[bytes] = ()
) -> bytes:
    """A CONNACK.

    Args:
        reason: of MQTT 5; translated for a client of 3.1.1.
        mqtt5: the client's level.
        session_present: its session was here already.
        encoded: properties; left out for 3.1.1.
    """
    if not mqtt5:
        head = bytes((session_present, reasons.old_code(reason)))
        return framing.packet(framing.CONNACK, 0, head)
    head = bytes((session_present, reason))
    return framing.packet(framing.CONNACK, 0, head, properties.block(encoded))
