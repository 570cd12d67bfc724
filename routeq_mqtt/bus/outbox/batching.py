"""What is sent as one message: jobs of an outbox, cut into parcels in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from routeq_mqtt.outbox.rows import OutboxRow

_MOST_JOBS = 500
_MOST_BYTES = 64 * 1024
"""Bytes of one message that holds several jobs: slow links lose less of it when they break."""

Way = Literal["expired", "store", "schedule", "queue"]


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """One message.

    Attributes:
        way: "expired": as a failed record; "store": durable dispatch, many jobs of one queue;
            "schedule" and "queue": a plain job, delayed or not.
        rows: its jobs.
    """

    way: Way
    rows: list[OutboxRow]


def way_of(row: OutboxRow, now: float) -> Way:
    """How a job goes."""
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    if row.stored:
        return "store"
    return "schedule" if row.delayed else "queue"


def cut(rows: Sequence[OutboxRow], now: float) -> Iterator[OutboxBatch]:
    """Parcels, in order; neighbours of one queue that are to be stored travel together."""
    open_: OutboxBatch | None = None
    size = 0
    for row in rows:
        way = way_of(row, now)
        fits = (
            open_ is not None
            and way == open_.way == "store"
            and open_.rows[0].queue == row.queue
            and len(open_.rows) < _MOST_JOBS
            and size + len(row.envelope) <= _MOST_BYTES
        )
        if fits and open_ is not None:
            open_.rows.append(row)
            size += len(row.envelope)
            continue
        if open_ is not None:
            yield open_
        open_, size = OutboxBatch(way, [row]), len(row.envelope)
    if open_ is not None:
        yield open_
