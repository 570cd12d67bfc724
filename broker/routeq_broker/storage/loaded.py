"""Rows of the database as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_broker.storage.entry import Entry
from routeq_broker.storage.journal import monotonic

if TYPE_CHECKING:
    from routeq_broker.clock import Clock
    from routeq_broker.storage.database import Row, Rows


def entries_of(rows: Rows, clock: Clock) -> list[Entry]:
    """The messages that a database had, in order of arrival."""
    return [_entry(row, clock) for row in rows.entries]


def _entry(row: Row, clock: Clock) -> Entry:
    (
        number, topic, payload, share, queue, owner, mid, dup, qos, retain, properties, ids,
        expires, released,
    ) = row  # fmt: skip
    return Entry(
        number,
        topic,
        bytes(payload),
        qos=qos,
        retain=bool(retain),
        properties=bytes(properties),
        expires=monotonic(expires, clock),
        ids=bytes(ids),
        group=None if share is None else (share, queue),
        owner=owner,
        mid=mid,
        dup=bool(dup),
        released=bool(released),
        saved=True,
    )
