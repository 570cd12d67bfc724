"""A message that the broker keeps until somebody has acknowledged it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from routeq_broker.protocol import properties
from routeq_broker.protocol.fields import varint

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXPIRY = 5
"""Bytes of a message expiry among the properties."""

_OVERHEAD = 400
"""Bytes of memory that an entry takes beside its topic and payload, measured."""


class Message(NamedTuple):
    """What was published; shared by all entries that carry it.

    Attributes:
        properties: encoded, those of MQTT 5 that readers get unchanged.
        expires: monotonic time from which it is of no use; None: never.
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    properties: bytes = b""
    expires: float | None = None


class Entry:
    """One message for one group or one session.

    Attributes:
        number: order of arrival; also its key in the database.
        topic, payload: as published.
        qos: with which it is delivered.
        retain: the RETAIN flag that it is delivered with.
        properties, expires: see `Message`.
        ids: encoded subscription identifiers that come with it.
        group: key of the queue group that it belongs to; None: it belongs to a session.
        owner: client identifier of the session that holds it, or that it belongs to.
        mid: packet id under which the owner was given it; 0: not yet.
        dup: it was given to somebody before.
        released: its PUBREC has come; only PUBREL and PUBCOMP are left of it (QoS 2).
        saved: it is in the database.
        key: tells copies of it apart from other messages.
    """

    __slots__ = (
        "dup", "expires", "group", "ids", "key", "mid", "number", "owner", "payload",
        "properties", "qos", "released", "retain", "saved", "topic",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: bytes = b"",
        expires: float | None = None,
        ids: bytes = b"",
        group: tuple[str, str] | None = None,
        owner: str | None = None,
        mid: int = 0,
        dup: bool = False,
        released: bool = False,
        saved: bool = False,
        key: str | None = None,
    ) -> None:
        self.number = number
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.expires = expires
        self.ids = ids
        self.group = group
        self.owner = owner
        self.mid = mid
        self.dup = dup
        self.released = released
        self.saved = saved
        self.key = key

    def __lt__(self, other: Entry) -> bool:
        return self.number < other.number

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.payload) + len(self.topic) + len(self.properties) + _OVERHEAD

    def wire_size(self, more: int = 0) -> int:
        """Bytes that its packet of MQTT 5 has, with `more` bytes of properties."""
        topic = len(self.topic.encode()) if not self.topic.isascii() else len(self.topic)
        expiry = 0 if self.expires is None else _EXPIRY
        block = len(self.properties) + len(self.ids) + expiry + more
        size = 2 + topic + (2 if self.qos else 0) + len(varint(block)) + block + len(self.payload)
        return 1 + len(varint(size)) + size

    def expired(self, now: float) -> bool:
        """Whether it is of no use any more."""
        return self.expires is not None and self.expires <= now

    def encoded(self, now: float) -> bytes:
        """Its properties for a client of MQTT 5: an expiry is what is left of it [3.3.2-6]."""
        if self.expires is None:
            return self.properties + self.ids
        left = max(1, int(self.expires - now + 0.5))
        expiry = properties.number(properties.MESSAGE_EXPIRY, left)
        return self.properties + expiry + self.ids


def encode_ids(identifiers: Iterable[int]) -> bytes:
    """Subscription identifiers as properties; 0 stands for none."""
    return b"".join(
        properties.number(properties.SUBSCRIPTION_ID, identifier)
        for identifier in identifiers
        if identifier
    )
