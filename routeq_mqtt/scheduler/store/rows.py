"""What the store takes and gives, and what it raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from routeq_mqtt.errors import RouteqError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.scheduler.store.engines.engine import Columns

Ends = Literal["finished", "started", "time"]
State = Literal["delayed", "parked", "released", "done", "held", "limited"]


class GivenId(NamedTuple):
    """The id that a message without one was given; `number` grows within its session."""

    session: str
    number: int
    packet_id: int
    digest: bytes
    id: str


class GivenNow(NamedTuple):
    """What a commit writes down of given ids.

    Attributes:
        given: the new ones.
        over: session and number of those whose messages cannot come again.
    """

    given: Sequence[GivenId]
    over: Sequence[tuple[str, int]]


NONE_GIVEN = GivenNow((), ())


class StoreUnavailable(RouteqError):
    """The database could not be written or read: full, read-only, damaged. Nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A lock that a job asks for.

    Attributes:
        job, place, own: the lock's key: one job at a time has it. The place is its queue, or none:
            its class says that `own`, its unique key, counts on all of them.
        ends: when it is given back: the job has ended, has started, or only after some time.
        until: when it lapses in any case, UTC epoch seconds.
        replaces: a newcomer's content replaces that of the waiting job, which then waits this many
            seconds again; None: a newcomer is dropped.
    """

    job: str
    place: str
    own: str
    ends: Ends
    until: float
    replaces: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Of the lock."""
        return self.job, self.place, self.own


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch that is begun or added to.

    Attributes:
        open: more of its jobs come in other messages.
    """

    id: str
    name: str | None
    open: bool


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
        proven: its message bears the token of the row; see `identity`.
        origin: tells it from other jobs of its id; None: as its producer sent it.
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
    proven: bool = False
    origin: bytes | None = None


Ended = tuple[str, int, bool]
"""Key of a row and the attempt that ended; whether who says so has the row's token."""

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
        proven: its message bears the token of the row `id`; see `identity`.
        content: a digest of the message; tells jobs of one id apart.
        exception: name of the class that the last attempt raised; empty: none did.
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
    proven: bool = False
    content: bytes = b""
    exception: str = ""


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
    """A whole failed record; `origin` is that of its row."""

    record: bytes
    origin: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Jobs of one queue in each state; held wait for others, limited for their turn."""

    delayed: int = 0
    parked: int = 0
    released: int = 0
    held: int = 0
    limited: int = 0
    failed: int = 0


def read_rows(found: Iterable[Columns]) -> list[Row]:
    """Rows as the store's statements read them: `sql.COLUMNS`.

    One whose columns hold something else (a damaged file, an edited one) is taken as near as it
    gets: it goes to a worker, which makes a failed record of what it cannot read.
    """
    return [_row(row if type(row[9]) is bytes else _with_bytes(row)) for row in found]


def _with_bytes(row: Sequence[Any]) -> Sequence[Any]:
    envelope = row[9] if isinstance(row[9], bytes | str) else repr(row[9])
    return [*row[:9], envelope if isinstance(envelope, bytes) else envelope.encode(), *row[10:]]


def _number(value: Any, otherwise: float | None) -> Any:  # noqa: ANN401 - whatever a column holds
    return value if value is None or isinstance(value, int | float) else otherwise


def _row(row: Sequence[Any]) -> Row:
    state: State = row[4]
    return Row(
        id=row[0],
        queue=row[1],
        attempt=row[2],
        deliveries=row[3],
        state=state,
        run_at=_number(row[5], 0.0),
        seq=row[6],
        durable=bool(row[7]),
        expires_at=_number(row[8], None),
        envelope=row[9],
        is_limited=bool(row[10]),
    )
