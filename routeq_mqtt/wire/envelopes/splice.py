"""Marks a message as one that a row waits for, without packing it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.wire.packing import pack

if TYPE_CHECKING:
    from routeq_mqtt.wire.envelopes.envelope import Envelope

_REPLACED = frozenset({"stored", "row", "delay", "run_at"})
_STORED, _ROW, _QUEUE = pack("stored") + pack(True), pack("row"), pack("queue")
_SMALL_MAP = 0x80
"""First byte of a msgpack map of at most 15 fields, with their number in its lower half."""

_MOST_FIELDS = 15 - 3


def with_row(payload: bytes, envelope: Envelope, queue: str, row: str) -> bytes | None:
    """A message with `stored`, `row` and its queue; None: it has to be packed anew.

    Args:
        payload: the message, as it came.
        envelope: what was read from it.
        queue: that it is for.
        row: the field `row`.
    """
    fields, first = vars(envelope), payload[0]
    if (
        not _SMALL_MAP < first <= _SMALL_MAP + _MOST_FIELDS
        or not _REPLACED.isdisjoint(fields)
        or envelope.id is None
        or envelope.errors
    ):
        return None
    if envelope.queue == queue:
        return b"".join((bytes((first + 2,)), payload[1:], _STORED, _ROW, pack(row)))
    parts = (bytes((first + 3,)), payload[1:], _STORED, _ROW, pack(row), _QUEUE, pack(queue))
    return b"".join(parts)
