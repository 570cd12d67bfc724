"""Requests about jobs, failures and statistics; `docs/observe.md` says how they are used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from routeq_mqtt.wire import checks
from routeq_mqtt.wire.messages.request import Request
from routeq_mqtt.wire.observe import answers
from routeq_mqtt.wire.observe.cursor import check_cursor
from routeq_mqtt.wire.observe.lists import (
    LISTS,
    BatchList,
    ChainList,
    LimitList,
    LockList,
    RolloutList,
)

LISTED = ("delayed", "parked", "released", "held", "limited", "failed", "done")
"""States that can be listed; what workers run or hold is asked of them (`routeq/ask/<id>`)."""

MOST_ROWS = 500
MOST_SCANNED = 10_000
_DATA = "data."

_id = checks.text("id", 400)
_ids = checks.list_of("ids", _id, most=1_000)
_text = checks.words("text", 200)
_name = checks.text("job", 200)
_queue = checks.queue("queue")
_bulk_id = checks.text("id", 60)
_metrics = checks.words("metrics", 20_000_000)
_plain = (type(None), bool, int, float, str)


def _some_ids(value: Any) -> list[str]:  # noqa: ANN401 - whatever came
    if not (listed := _ids(value)):
        checks.refuse("ids", value, "a list of 1 to 1,000 job ids")
    return listed  # type: ignore[no-any-return]


def _where(value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever came
    where = checks.text_map("where")(value)
    if len(where) > 10:
        checks.refuse("where", value, "a map of at most 10 entries")
    for path, part in where.items():
        if not path.startswith(_DATA) or len(path) == len(_DATA) or len(path) > 200:
            checks.refuse("where", path, "paths in a job's data, for example data.user.id")
        if type(part) not in _plain or (type(part) is str and len(part) > 1_000):
            checks.refuse(f"where: {path[:40]}", part, "a number, a text, true, false or null")
    return where  # type: ignore[no-any-return]


def _up_to(field_name: str, most: int) -> checks.Check:
    def check(value: Any) -> int:  # noqa: ANN401 - whatever came
        if type(value) is not int or not 1 <= value <= most:
            checks.refuse(field_name, value, f"a whole number from 1 to {most:,}")
        return value

    return check


_FAILED_FILTER: dict[str, checks.Check] = {
    "queue": _queue,
    "job": _name,
    "reason": checks.text("reason", 200),
    "exception": checks.words("exception", 200),
    "text": _text,
}


@dataclass(frozen=True, kw_only=True)
class JobsList(Request[answers.JobPage]):
    """A page of the jobs in one state, and those of them that match."""

    METHOD: ClassVar[str] = "jobs.list"
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "state": checks.word("state", *LISTED),
        "queue": _queue,
        "job": _name,
        "reason": _FAILED_FILTER["reason"],
        "exception": _FAILED_FILTER["exception"],
        "text": _text,
        "where": _where,
        "since": checks.epoch("since"),
        "until": checks.epoch("until"),
        "limit": _up_to("limit", MOST_ROWS),
        "scan": _up_to("scan", MOST_SCANNED),
        "cursor": check_cursor,
        "with_data": checks.boolean("with_data"),
    }
    REPLY: ClassVar[str] = "map: `rows`, `next`, `scanned`"

    state: str
    queue: str | None = None
    job: str | None = None
    reason: str | None = None
    exception: str | None = None
    text: str | None = None
    where: dict[str, Any] = field(default_factory=dict)
    since: float | None = None
    until: float | None = None
    limit: int = 50
    scan: int = 2_000
    cursor: str | None = None
    with_data: bool = False


@dataclass(frozen=True, kw_only=True)
class JobsShow(Request[answers.JobWhole]):
    """All that the scheduler knows of one job, with its attempts."""

    METHOD: ClassVar[str] = "jobs.show"
    CHECKS: ClassVar[dict[str, checks.Check]] = {"id": _id}
    REPLY: ClassVar[str] = "map"
    ABOUT_JOBS: ClassVar[bool] = True

    id: str


@dataclass(frozen=True, kw_only=True)
class JobsRun(Request[answers.Changed]):
    """Run delayed jobs now."""

    METHOD: ClassVar[str] = "jobs.run"
    CHECKS: ClassVar[dict[str, checks.Check]] = {"ids": _some_ids}
    REPLY: ClassVar[str] = "map: `changed`, `skipped`"
    ABOUT_JOBS: ClassVar[bool] = True
    ACTS: ClassVar[bool] = True

    ids: list[str]


@dataclass(frozen=True, kw_only=True)
class JobsMove(Request[answers.Changed]):
    """Move jobs that wait in the scheduler to another queue."""

    METHOD: ClassVar[str] = "jobs.move"
    CHECKS: ClassVar[dict[str, checks.Check]] = {"ids": _some_ids, "queue": _queue}
    REPLY: ClassVar[str] = "map: `changed`, `skipped`"
    ABOUT_JOBS: ClassVar[bool] = True
    ACTS: ClassVar[bool] = True

    ids: list[str]
    queue: str


@dataclass(frozen=True, kw_only=True)
class FailedGroups(Request[list[answers.FailedGroup]]):
    """Failed records by job, reason and exception, with how many there are; the largest first."""

    METHOD: ClassVar[str] = "failed.groups"
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "queue": _queue,
        "job": _name,
        "limit": _up_to("limit", MOST_ROWS),
    }
    REPLY: ClassVar[str] = "list of maps"

    queue: str | None = None
    job: str | None = None
    limit: int = 100


@dataclass(frozen=True, kw_only=True)
class FailedCounted(Request[answers.FailedCount]):
    """How many failed records match: to be shown before they are retried or deleted."""

    METHOD: ClassVar[str] = "failed.count"
    CHECKS: ClassVar[dict[str, checks.Check]] = _FAILED_FILTER
    REPLY: ClassVar[str] = "map: `count`, `exact`, `until`"

    queue: str | None = None
    job: str | None = None
    reason: str | None = None
    exception: str | None = None
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class FailedBulk(Request[answers.Bulk]):
    """Retry or delete all failed records that match, at a rate; goes on after a restart."""

    METHOD: ClassVar[str] = "failed.bulk"
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "action": checks.word("action", "retry", "forget"),
        **_FAILED_FILTER,
        "until": checks.epoch("until"),
        "rate": checks.number("rate", 0.01, 100_000),
    }
    REPLY: ClassVar[str] = "map: `id`, `total`, …"
    ACTS: ClassVar[bool] = True

    action: str
    queue: str | None = None
    job: str | None = None
    reason: str | None = None
    exception: str | None = None
    text: str | None = None
    until: float | None = None
    rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class BulkList(Request[list[answers.Bulk]]):
    """Actions on many failed records: those that run, and the last 100 that are over."""

    METHOD: ClassVar[str] = "bulk.list"
    REPLY: ClassVar[str] = "list of maps"


@dataclass(frozen=True, kw_only=True)
class BulkStop(Request[answers.Bulk]):
    """Stop such an action; what it has done stays done."""

    METHOD: ClassVar[str] = "bulk.stop"
    CHECKS: ClassVar[dict[str, checks.Check]] = {"id": _bulk_id}
    REPLY: ClassVar[str] = "map"
    ACTS: ClassVar[bool] = True

    id: str


@dataclass(frozen=True, kw_only=True)
class StatsHistory(Request[answers.StatHistory]):
    """Outcomes, run and waiting times: minutes for 8 h, ten minutes for 72 h, hours for 90 days."""

    METHOD: ClassVar[str] = "stats.history"
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "queue": _queue,
        "job": _name,
        "since": checks.epoch("since"),
        "until": checks.epoch("until"),
        "by": checks.word("by", "all", "queue", "job"),
    }
    REPLY: ClassVar[str] = "map: `step`, `bounds`, `series`"

    queue: str | None = None
    job: str | None = None
    since: float | None = None
    until: float | None = None
    by: str = "all"


@dataclass(frozen=True, kw_only=True)
class AlertsList(Request[list[answers.Alert]]):
    """What is wrong now."""

    METHOD: ClassVar[str] = "alerts"
    REPLY: ClassVar[str] = "list of maps: `key`, `kind`, `queue`, `since`, `text`"


@dataclass(frozen=True, kw_only=True)
class MetricsText(Request[str]):
    """All numbers of the bus in Prometheus' text format."""

    METHOD: ClassVar[str] = "metrics"
    REPLY: ClassVar[str] = "text"

    def read_reply(self, result: Any) -> str:  # noqa: ANN401, D102
        return _metrics(result)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class AuditList(Request[answers.AuditPage]):
    """Who asked the scheduler to change what, newest first; kept for 90 days."""

    METHOD: ClassVar[str] = "audit.list"
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "limit": _up_to("limit", MOST_ROWS),
        "cursor": check_cursor,
    }
    REPLY: ClassVar[str] = "map: `rows`, `next`"

    limit: int = 50
    cursor: str | None = None


ASKS: tuple[type[Request[Any]], ...] = (
    JobsList, JobsShow, JobsRun, JobsMove, FailedGroups, FailedCounted, FailedBulk, BulkList,
    BulkStop, StatsHistory, AlertsList, MetricsText, AuditList, *LISTS,
)  # fmt: skip

__all__ = [
    "ASKS", "LISTED", "MOST_ROWS", "MOST_SCANNED", "AlertsList", "AuditList", "BatchList",
    "BulkList", "BulkStop", "ChainList", "FailedBulk", "FailedCounted", "FailedGroups",
    "JobsList", "JobsMove", "JobsRun", "JobsShow", "LimitList", "LockList", "MetricsText",
    "RolloutList", "StatsHistory",
]  # fmt: skip
