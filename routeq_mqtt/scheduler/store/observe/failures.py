"""Failed records by kind: how many there are, and which come next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler.store.observe.job_rows import envelope_of_record, failed_row
from routeq_mqtt.scheduler.store.observe.matching import contains
from routeq_mqtt.scheduler.store.sql import observe as sql
from routeq_mqtt.wire.observe.answers import FailedGroup
from routeq_mqtt.wire.observe.asks import MOST_SCANNED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection

_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedFilter:
    """Which failed records; None: all.

    Attributes:
        text: in the id, the class, the error or the data.
        until: those that failed by then, UTC epoch seconds.
    """

    queue: str | None = None
    job: str | None = None
    reason: str | None = None
    exception: str | None = None
    text: str | None = None
    until: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a walk through the records has come: a group, and the last record in it."""

    group: tuple[str, str, str, str] | None = None
    failed_at: float = float("-inf")
    id: str = ""


def groups(db: SyncConnection, wanted: FailedFilter, most: int) -> list[FailedGroup]:
    """Groups of failed records, the largest first."""
    values = (wanted.queue, wanted.job, wanted.reason, wanted.exception, most)
    return [
        FailedGroup(
            queue=queue, job=job or None, reason=reason, exception=exception, count=n,
            first_at=first_at, last_at=last_at, last_id=last_id,
        )
        for queue, job, reason, exception, n, first_at, last_at, last_id in db.execute(
            sql.GROUPS_OF, values
        )
    ]  # fmt: skip


def count(db: SyncConnection, wanted: FailedFilter) -> tuple[int, bool]:
    """How many match, and whether that is exact: a text is looked for in 10,000 records at most."""
    if wanted.text is None:
        values = (wanted.queue, wanted.job, wanted.reason, wanted.exception)
        return int(db.execute(sql.GROUPS_SUM, values).fetchone()[0]), True
    found = 0
    for scanned, (_, matching) in enumerate(walk(db, wanted, Position())):
        if scanned >= MOST_SCANNED:
            return found, False
        found += matching
    return found, True


def walk(
    db: SyncConnection, wanted: FailedFilter, after: Position
) -> Iterator[tuple[Position, bool]]:
    """All records of the wanted groups from a position on, each with whether it matches."""
    values = (wanted.queue, wanted.job, wanted.reason, wanted.exception)
    for group in db.execute(sql.GROUP_NAMES, values).fetchall():
        if after.group is not None and group < after.group:
            continue
        at, job_id = (after.failed_at, after.id) if group == after.group else (float("-inf"), "")
        yield from _walk_group(db, wanted, group, at, job_id)


def _walk_group(
    db: SyncConnection,
    wanted: FailedFilter,
    group: tuple[str, str, str, str],
    at: float,
    job_id: str,
) -> Iterator[tuple[Position, bool]]:
    while True:
        values = (*group, at, job_id, wanted.until, _BATCH)
        found = db.execute(sql.GROUP_PAGE, values).fetchall()
        for columns in found:
            at, job_id = columns[6], columns[0]
            yield Position(group=group, failed_at=at, id=job_id), _matches(columns, wanted.text)
        if len(found) < _BATCH:
            return


def _matches(columns: Any, text: str | None) -> bool:  # noqa: ANN401 - a row
    if text is None:
        return True
    envelope = envelope_of_record(columns[7])
    row = failed_row(columns, envelope, with_data=False)
    return contains(row, {} if envelope is None else envelope.data, text)
