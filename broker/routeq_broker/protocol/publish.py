"""PUBLISH (MQTT 5, section 3.3): the packet that carries nearly all traffic."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from routeq_broker.errors import ProtocolError
from routeq_broker.protocol import fields, properties, reasons
from routeq_broker.protocol.fields import Reader, decoded, varint

_DEEPEST = 200
"""Levels that a topic may have, as in mosquitto; each costs a step for every publish."""


class Publish(NamedTuple):
    """A PUBLISH from a client.

    Attributes:
        topic: empty where a topic alias stands for it.
        mid: packet identifier; 0 for QoS 0.
        properties: encoded, those that readers get unchanged.
        expiry: seconds for which the message is of use; None: for ever.
        alias: topic alias; 0: none.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    mid: int
    properties: bytes = b""
    expiry: int | None = None
    alias: int = 0


def read(buffer: bytearray, first: int, start: int, end: int, *, mqtt5: bool) -> Publish:
    """The PUBLISH whose body is ``buffer[start:end]``.

    Raises:
        ProtocolError: it is cut off or malformed, its topic is no topic, or its QoS is 3.
    """
    qos = first >> 1 & 3
    if qos == 3 or (first & 8 and not qos):
        raise ProtocolError("a PUBLISH has QoS 3, or DUP at QoS 0 [MQTT-3.3.1-2, MQTT-3.3.1-4]")
    at = start + 2 + int.from_bytes(buffer[start : start + 2], "big")
    rest = at + 2 if qos else at
    if rest > end or start + 2 > end:
        raise ProtocolError("a PUBLISH ends inside its header")
    topic = _topic(bytes(buffer[start + 2 : at]))
    mid = int.from_bytes(buffer[at:rest], "big") if qos else 0
    if qos and not mid:
        raise ProtocolError("a PUBLISH has packet identifier 0 [MQTT-2.2.1-3]")
    if not mqtt5:
        return Publish(_named(topic), bytes(buffer[rest:end]), qos, bool(first & 1), mid)
    if rest < end and buffer[rest] == 0:
        return Publish(_named(topic), bytes(buffer[rest + 1 : end]), qos, bool(first & 1), mid)
    return _with_properties(topic, bytes(buffer[rest:end]), qos, bool(first & 1), mid)


def _with_properties(topic: str, body: bytes, qos: int, retain: bool, mid: int) -> Publish:
    reader = Reader(body)
    found = properties.read(reader, properties.OF_PUBLISH)
    check_response_topic(found)
    alias = found.number(properties.TOPIC_ALIAS, 0)
    return Publish(
        topic if alias else _named(topic),
        reader.take(reader.left),
        qos,
        retain,
        mid,
        found.passed_on,
        found.numbers.get(properties.MESSAGE_EXPIRY),
        alias,
    )


def check_response_topic(found: properties.Properties) -> None:
    """A response topic has no wildcards [MQTT-3.3.2-14].

    Raises:
        ProtocolError: it has.
    """
    response = found.texts.get(properties.RESPONSE_TOPIC)
    if response is not None and ("+" in response or "#" in response):
        raise ProtocolError("a response topic has wildcards", reasons.PROTOCOL_ERROR)


@lru_cache(maxsize=4096)
def _topic(raw: bytes) -> str:
    topic = decoded(raw)
    if topic:
        check_topic(topic)
    return topic


def _named(topic: str) -> str:
    if not topic:
        raise ProtocolError("a PUBLISH has no topic", reasons.PROTOCOL_ERROR)
    return topic


def check_topic(topic: str) -> None:
    """Whether a topic can be published to (4.7).

    Raises:
        ProtocolError: it is empty, has wildcards, or more than 200 levels.
    """
    if not topic or "+" in topic or "#" in topic:
        raise ProtocolError("a topic is empty or has wildcards", reasons.TOPIC_NAME_INVALID)
    if topic.count("/") >= _DEEPEST:
        raise ProtocolError(f"a topic has {_DEEPEST} levels or more", reasons.TOPIC_NAME_INVALID)


def encode(
    topic: str,
    payload: bytes,
    *,
    qos: int,
    dup: bool = False,
    retain: bool = False,
    mid: int = 0,
    encoded: bytes | None = None,
) -> bytes:
    """A PUBLISH packet.

    Args:
        topic: empty where an alias stands for it.
        payload: as it is.
        qos: 0, 1 or 2.
        dup: it was sent before.
        retain: the RETAIN flag.
        mid: packet identifier; counts from QoS 1 on.
        encoded: MQTT 5's properties, without their length; None: a packet of 3.1.1.
    """
    head = fields.text(topic)
    if qos:
        head += mid.to_bytes(2, "big")
    if encoded is not None:
        head += varint(len(encoded)) + encoded if encoded else b"\0"
    first = 0x30 | dup << 3 | qos << 1 | retain
    return b"".join((bytes((first,)), varint(len(head) + len(payload)), head, payload))


@lru_cache(maxsize=256)
def topic_alias(alias: int) -> bytes:
    """A topic alias, encoded."""
    return properties.number(properties.TOPIC_ALIAS, alias)
