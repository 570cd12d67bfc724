"""Marks: numbered messages of a client to itself. When one comes, all in front of it is read."""

from __future__ import annotations

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.display import shown

_PREFIX = b"mark:"
_DIGITS = 18


def encode_mark(number: int) -> bytes:
    """The mark of a number."""
    return b"%s%d" % (_PREFIX, number)


def is_mark(payload: bytes) -> bool:
    """Whether a message begins as a mark; others are questions of the scheduler."""
    return payload.startswith(_PREFIX)


def decode_mark(payload: bytes) -> int:
    """The number of a mark.

    Raises:
        UnreadableMessage: it is invalid: a client may write anything to this topic.
    """
    digits = payload[len(_PREFIX) :]
    if not is_mark(payload) or not digits.isdigit() or len(digits) > _DIGITS:
        raise UnreadableMessage(f"{shown(payload)} is not a mark")
    return int(digits)
