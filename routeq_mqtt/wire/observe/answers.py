"""Replies about jobs, failures and statistics: a dataclass for each kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from routeq_mqtt.wire import checks
from routeq_mqtt.wire.messages import replies
from routeq_mqtt.wire.observe.numbers import Alert, read_alert

if TYPE_CHECKING:
    from routeq_mqtt.wire.messages.replies import Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job in a list, in whatever state it is. Times are UTC epoch seconds.

    Attributes:
        id: of the job, or the key of its row where that is another.
        job: its class; None: its message is unreadable, or it is over and its message is gone.
        state: delayed, parked, released, held, limited, failed, or what became of it: done,
            cancelled.
        at: when it is due; of one that is over or has failed: when that was.
        dispatched_at: when its producer sent it, by the producer's clock.
        batch, chain, step: what it is part of.
        reason, error, worker: of a failed record.
        size: bytes of its message.
        data: what it was given, where that was asked for; None also where it is sealed, is larger
            than 4,096 bytes, or cannot be read.
        sealed: its data are encrypted.
    """

    id: str
    queue: str
    state: str
    job: str | None = None
    attempt: int = 1
    at: float = 0.0
    dispatched_at: float | None = None
    expires_at: float | None = None
    batch: str | None = None
    chain: str | None = None
    step: int | None = None
    reason: str | None = None
    error: str | None = None
    worker: str | None = None
    size: int = 0
    data: dict[str, Any] | None = None
    sealed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """A page of jobs.

    Attributes:
        rows: those that match.
        next: the cursor of the next page; None: this was the last one.
        scanned: how many rows were looked at. With filters a page may be empty and have a `next`:
            the scan ended at its limit, not at the end.
    """

    rows: list[JobRow] = field(default_factory=list)
    next: str | None = None
    scanned: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWhole(JobRow):
    """All that is known of one job. Times are UTC epoch seconds.

    Attributes:
        state: as `JobRow.state`; a released one that a worker runs is running.
        data: what it was given; None: it is sealed, unreadable, or the job is over.
        headers, options: of its message.
        history: its attempts, oldest first: `attempt`, `worker`, `at` (when it ended), `seconds`
            (how long it ran), `type`, `message`, `traceback`; what is not known is left out. The
            last one may be running: it has no `at`.
        progress: of a running one that reports it: done, total and note.
        waits_for: what keeps it, in words; empty: nothing.
        locks: unique keys that it holds.
    """

    deliveries: int = 1
    deaths: int = 0
    headers: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    progress: list[Any] | None = None
    waits_for: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Ids of jobs that were changed, and those that were not, with the reason."""

    changed: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedGroup:
    """Failed records of one kind. Times are UTC epoch seconds.

    Attributes:
        job: None: the messages were unreadable.
        exception: name of its class; empty: there was none.
        count: records that are there now.
        first_at, last_at: of the first and the last record since the group was empty.
        last_id: of the last one.
    """

    queue: str
    reason: str
    job: str | None = None
    exception: str = ""
    count: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    last_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCount:
    """How many failed records match.

    Attributes:
        exact: False: with a text filter only the first 10,000 records were looked at.
        until: hand this to `failed.bulk`: what fails later is not counted, and not touched.
    """

    count: int = 0
    exact: bool = True
    until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """An action on many failed records, which the scheduler works off; it survives restarts.

    Attributes:
        action: retry or forget.
        state: running, done or stopped.
        total: how many matched when it began.
        done: how many it has retried or deleted.
        skipped: how many it could not retry; they stay.
        error: why the last of those was skipped.
        rate: records a second; None: as fast as it goes.
        by: who asked for it.
    """

    id: str
    action: str
    state: str
    total: int = 0
    done: int = 0
    skipped: int = 0
    error: str = ""
    queue: str | None = None
    job: str | None = None
    reason: str | None = None
    exception: str | None = None
    text: str | None = None
    rate: float | None = None
    until: float = 0.0
    started_at: float = 0.0
    ended_at: float | None = None
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatPoint:
    """What ended within one step; `at`: its beginning, UTC epoch seconds.

    Attributes:
        run, wait: histograms, see `BOUNDS` of `routeq_mqtt.wire.observe.histogram`.
        run_p50, …: percentiles in seconds, exact within one bucket; None: nothing ran.
    """

    at: float
    attempts: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    cancelled: int = 0
    run: list[int] = field(default_factory=list)
    run_seconds: float = 0.0
    run_p50: float | None = None
    run_p95: float | None = None
    run_p99: float | None = None
    wait: list[int] = field(default_factory=list)
    wait_seconds: float = 0.0
    wait_p50: float | None = None
    wait_p95: float | None = None
    wait_p99: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatSeries:
    """The points of one series; those in which nothing ended are left out."""

    queue: str | None = None
    job: str | None = None
    points: list[StatPoint] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatHistory:
    """Statistics over time.

    Attributes:
        step: seconds of each point: 60, 600 or 3600.
        since, until: what they cover, UTC epoch seconds.
        bounds: upper bounds of the histograms' buckets, in seconds.
        series: at most 200, those with the most attempts.
    """

    step: int
    since: float = 0.0
    until: float = 0.0
    bounds: list[float] = field(default_factory=list)
    series: list[StatSeries] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """An action that was asked of the scheduler.

    Attributes:
        by: who asked, as the request says: the broker does not vouch for it.
        how: how that was established: "claimed", not at all; "signed" and the name of a key: who
            asked has this signing key.
        what: the method.
        args: its arguments as JSON, at most 1,000 characters.
        outcome: what was replied, at most 200 characters.
    """

    number: int
    at: float = 0.0
    by: str = ""
    how: str = "claimed"
    what: str = ""
    args: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """A page of the audit log, newest first; `next`: the cursor of the next page."""

    rows: list[AuditLine] = field(default_factory=list)
    next: str | None = None


def _lists(kind: type[Any]) -> checks.Check:
    return lambda value: replies.read_list(kind, value)


replies.know(
    {
        "list[JobRow]": _lists(JobRow),
        "list[StatPoint]": _lists(StatPoint),
        "list[StatSeries]": _lists(StatSeries),
        "list[AuditLine]": _lists(AuditLine),
        "list[Alert]": checks.list_of("alerts", read_alert, most=10_000),
        "list[int]": checks.list_of("numbers", checks.count("a number", 0), most=1_000),
        "list[float]": checks.list_of("numbers", checks.number("a number", 0, 1e15), most=1_000),
    }
)

__all__ = [
    "Alert", "AuditLine", "AuditPage", "Bulk", "Changed", "FailedCount", "FailedGroup", "JobPage",
    "JobRow", "JobWhole", "StatHistory", "StatPoint", "StatSeries",
]  # fmt: skip
