"""What the store takes and gives, and what it raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from routeq_mqtt.errors import RouteqError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.scheduler.claims import Claim

State = Literal["delayed", "parked", "released", "done", "held", "limited"]


class StoreUnavailable(RouteqError):
    """The database could not be written or read: full, read-only, damaged. Nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRow:
    """A job to be taken in.

    Attributes:
        run_at: when it is due, UTC epoch seconds.
        durable: its producer asked for it to be stored: its id is remembered for longer.
        envelope: what is published, as it is.
        era: of the clock that `run_at` was counted by; None: it was given as a time of the day.
        charged: its worker died while it ran: `attempt` is one more than the message said.
        claim: the lock that it wants.
        chain, step: the chain that it is part of, and where in it.
        batch: that it is part of.
        lane: its limits, as the name of their lane.
    """

    id: str
    queue: str
    attempt: int
    deliveries: int
    state: Literal["delayed", "parked", "held"]
    run_at: float
    durable: bool
    expires_at: float | None
    envelope: bytes
    charged: bool = False
    era: str | None = None
    claim: Claim | None = None
    chain: str | None = None
    step: int | None = None
    batch: str | None = None
    lane: str | None = None


Moved = Callable[[NewRow], NewRow]


def as_it_is(row: NewRow) -> NewRow:
    """A `Moved` of a clock that is never set."""
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job as the store has it; `seq` is the order of arrival, `is_limited`: it has limits."""

    id: str
    queue: str
    attempt: int
    deliveries: int
    state: State
    run_at: float
    seq: int
    durable: bool
    expires_at: float | None
    envelope: bytes
    is_limited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFailed:
    """A failed record to be kept; `record` is all of it, the other fields are for lists.

    Attributes:
        attempt: that failed; a row that is at a later one, or over, drops the record. None: of a
            message that has none.
        deliveries: of the message that failed; fewer than the row has: it was retried by hand.
    """

    id: str
    queue: str
    job: str | None
    reason: str
    error: str
    worker: str | None
    failed_at: float
    record: bytes
    attempt: int | None = None
    deliveries: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedSummary:
    """A failed record in a list."""

    id: str
    queue: str
    job: str | None
    reason: str
    error: str
    worker: str | None
    failed_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRow(FailedSummary):
    """A whole failed record."""

    record: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Jobs of one queue in each state; held wait for others, limited for their turn."""

    delayed: int = 0
    parked: int = 0
    released: int = 0
    held: int = 0
    limited: int = 0
    failed: int = 0


def read_rows(found: Iterable[sqlite3.Row]) -> list[Row]:
    """Rows as the store's statements read them: `sql.COLUMNS`."""
    return [_row(row) for row in found]


def _row(row: Sequence[Any]) -> Row:
    state: State = row[4]
    return Row(
        id=row[0],
        queue=row[1],
        attempt=row[2],
        deliveries=row[3],
        state=state,
        run_at=row[5],
        seq=row[6],
        durable=bool(row[7]),
        expires_at=row[8],
        envelope=bytes(row[9]),
        is_limited=bool(row[10]),
    )
