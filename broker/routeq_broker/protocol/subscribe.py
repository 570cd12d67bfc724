"""SUBSCRIBE, UNSUBSCRIBE and their answers (MQTT 5, sections 3.8 to 3.11)."""

from __future__ import annotations

from typing import NamedTuple

from routeq_broker.errors import ProtocolError
from routeq_broker.protocol import framing, properties, reasons
from routeq_broker.protocol.fields import Reader

_NEEDED_FLAGS = 2


class Options(NamedTuple):
    """How a client wants what matches one filter (3.8.3.1).

    Attributes:
        qos: at most.
        no_local: not what the client publishes itself.
        as_published: with the RETAIN flag that the publisher set.
        retain_handling: retained messages: 0 always, 1 with a new subscription, 2 never.
        identifier: comes with each message; 0: none.
    """

    qos: int
    no_local: bool = False
    as_published: bool = False
    retain_handling: int = 0
    identifier: int = 0

    @property
    def encoded(self) -> int:
        """As the byte of the packet has it."""
        return self.qos | self.no_local << 2 | self.as_published << 3 | self.retain_handling << 4

    @classmethod
    def decoded(cls, byte: int, identifier: int = 0) -> Options:
        """From the byte of a packet."""
        return cls(byte & 3, bool(byte & 4), bool(byte & 8), byte >> 4 & 3, identifier)


class Subscribe(NamedTuple):
    """A SUBSCRIBE packet."""

    mid: int
    wanted: list[tuple[str, Options]]


class Unsubscribe(NamedTuple):
    """An UNSUBSCRIBE packet."""

    mid: int
    names: list[str]


def read_subscribe(first: int, body: bytes, *, mqtt5: bool) -> Subscribe:
    """A SUBSCRIBE.

    Raises:
        ProtocolError: it is malformed.
    """
    reader, mid = _opened(first, body)
    found = properties.read(reader, properties.OF_SUBSCRIBE) if mqtt5 else properties.NONE
    identifier = found.number(properties.SUBSCRIPTION_ID, 0)
    wanted = []
    while reader.left:
        name, byte = reader.text(), reader.number(1)
        _check_options(byte, mqtt5=mqtt5)
        options = Options.decoded(byte, identifier)
        if options.no_local and name.startswith("$share/"):
            code = reasons.PROTOCOL_ERROR
            raise ProtocolError("no-local on a shared subscription [MQTT-3.8.3-4]", code)
        wanted.append((name, options))
    if not wanted:
        raise ProtocolError("a SUBSCRIBE without a filter [MQTT-3.8.3-2]", reasons.PROTOCOL_ERROR)
    return Subscribe(mid, wanted)


def _check_options(byte: int, *, mqtt5: bool) -> None:
    if byte & 3 == 3 or byte & (0xC0 if mqtt5 else 0xFC):
        raise ProtocolError("a SUBSCRIBE has QoS 3 or reserved bits [MQTT-3.8.3-5]")
    if byte >> 4 & 3 == 3:
        raise ProtocolError("retain handling 3 does not exist", reasons.PROTOCOL_ERROR)


def read_unsubscribe(first: int, body: bytes, *, mqtt5: bool) -> Unsubscribe:
    """An UNSUBSCRIBE.

    Raises:
        ProtocolError: it is malformed.
    """
    reader, mid = _opened(first, body)
    if mqtt5:
        properties.read(reader, properties.OF_UNSUBSCRIBE)
    names = []
    while reader.left:
        names.append(reader.text())
    if not names:
        code = reasons.PROTOCOL_ERROR
        raise ProtocolError("an UNSUBSCRIBE without a filter [MQTT-3.10.3-2]", code)
    return Unsubscribe(mid, names)


def _opened(first: int, body: bytes) -> tuple[Reader, int]:
    if first & 15 != _NEEDED_FLAGS:
        raise ProtocolError("wrong flags in a fixed header [MQTT-3.8.1-1, MQTT-3.10.1-1]")
    reader = Reader(body)
    mid = reader.number(2)
    if not mid:
        raise ProtocolError("packet identifier 0 [MQTT-2.2.1-3]")
    return reader, mid


def suback(mid: int, codes: list[int], *, mqtt5: bool) -> bytes:
    """A SUBACK: of each filter the granted QoS, or why it was refused."""
    if not mqtt5:
        codes = [min(code, reasons.REFUSED) for code in codes]
    parts = (mid.to_bytes(2, "big"), b"\0" if mqtt5 else b"", bytes(codes))
    return framing.packet(framing.SUBACK, 0, *parts)


def unsuback(mid: int, codes: list[int], *, mqtt5: bool) -> bytes:
    """An UNSUBACK; only MQTT 5 says what became of each filter."""
    more = b"\0" + bytes(codes) if mqtt5 else b""
    return framing.packet(framing.UNSUBACK, 0, mid.to_bytes(2, "big"), more)
