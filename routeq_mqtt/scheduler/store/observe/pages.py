"""Pages of jobs in one state: from a key on, in the order of an index, never counted.

Filters look at a limited number of rows for each page: the answer says how many, and where the next
page begins.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler.store.observe.job_rows import (
    envelope_of_record,
    failed_row,
    job_row,
    read_envelope,
)
from routeq_mqtt.scheduler.store.observe.matching import matches
from routeq_mqtt.scheduler.store.sql import observe as sql
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.observe.answers import JobPage, JobRow
from routeq_mqtt.wire.observe.cursor import decode_cursor, encode_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.wire.observe.asks import JobsList

_BATCH = 200
"""Rows that are read at once."""

Key = list[Any]
Columns = tuple[Any, ...]

_FIRST: dict[str, Key] = {
    "delayed": [-inf, -1],
    "parked": ["", -1],
    "released": ["", ""],
    "held": ["", -1],
    "limited": ["", "", -1],
    "failed": [inf, ""],
    "done": [inf, ""],
}
"""A key before all others."""

_BY_QUEUE = frozenset({"parked", "released", "held"})
"""Their key begins with the queue, which is left out where it is given."""

_NEWEST_FIRST = frozenset({"failed", "done"})


def page(db: SyncConnection, asked: JobsList) -> JobPage:
    """A page of jobs.

    Raises:
        UnreadableMessage: the cursor is not of this list.
    """
    key = _key_of(asked)
    rows: list[JobRow] = []
    scanned = 0
    for columns in _rows(db, asked, key):
        if len(rows) >= asked.limit or scanned >= asked.scan:
            return JobPage(rows=rows, next=encode_cursor(key), scanned=scanned)
        scanned += 1
        row, envelope = _read(columns, asked)
        key = list(columns[-len(key) :])
        if _is_of_kind(columns, asked) and matches(row, envelope, asked):
            rows.append(row)
    return JobPage(rows=rows, next=None, scanned=scanned)


def _read(columns: Columns, asked: JobsList) -> tuple[JobRow, Envelope | None]:
    if asked.state == "failed":
        needed = asked.with_data or asked.where or asked.text
        envelope = envelope_of_record(columns[7]) if needed else None
        return failed_row(columns, envelope, with_data=asked.with_data), envelope
    envelope = read_envelope(columns[11])
    return job_row(columns, envelope, with_data=asked.with_data), envelope


def _is_of_kind(columns: Columns, asked: JobsList) -> bool:
    """Whether a record failed for the wanted reason, by the wanted exception."""
    if asked.reason is None and asked.exception is None:
        return True
    if asked.state != "failed":
        return False
    return asked.reason in {None, columns[3]} and asked.exception in {None, columns[8]}


def _first(asked: JobsList) -> Key:
    first = _FIRST[asked.state]
    return first[1:] if asked.queue is not None and asked.state in _BY_QUEUE else first


def _key_of(asked: JobsList) -> Key:
    """Where the page begins."""
    first = _first(asked)
    if asked.cursor is None:
        if asked.state == "delayed" and asked.since is not None:
            return [asked.since, -1]
        if asked.state in _NEWEST_FIRST and asked.until is not None:
            return [asked.until, ""]
        return list(first)
    key = decode_cursor(asked.cursor)
    if [isinstance(part, str) for part in key] != [isinstance(part, str) for part in first]:
        checks.refuse("cursor", asked.cursor, "the `next` of a page of the same list")
    return list(key)


def _rows(db: SyncConnection, asked: JobsList, key: Key) -> Iterator[Columns]:
    """Rows from a key on, read in batches."""
    read = _reader(db, asked)
    width = len(key)
    wanted = min(_BATCH, asked.limit + 1)
    while True:
        found = read(key, wanted)
        yield from found
        if len(found) < wanted:
            return
        key = list(found[-1][-width:])
        wanted = _BATCH


def _reader(db: SyncConnection, asked: JobsList) -> Callable[[Key, int], list[Columns]]:
    state, queue = asked.state, asked.queue
    if state == "failed":
        if queue is not None and asked.reason is not None and asked.exception is not None:
            group = (queue, asked.job or "", asked.reason, asked.exception)
            if asked.job is not None:
                return lambda key, most: db.execute(
                    sql.FAILED_GROUP, (*key, most, *group)
                ).fetchall()
        if queue is None:
            return lambda key, most: db.execute(sql.FAILED, (*key, most)).fetchall()
        return lambda key, most: db.execute(sql.FAILED_OF, (*key, most, queue)).fetchall()
    if state == "done":
        return lambda key, most: _done(db, key, most)
    if state == "limited":
        return lambda key, most: _limited(db, key, most, queue)
    if queue is None:
        return lambda key, most: db.execute(sql.JOBS[state], (*key, most)).fetchall()
    return lambda key, most: db.execute(sql.JOBS_OF[state], (queue, *key, most)).fetchall()


def _done(db: SyncConnection, key: Key, most: int) -> list[Columns]:
    """Newest first: of those that are remembered for 7 days, and of the others."""
    found: list[Columns] = []
    for durable in (False, True):
        found += db.execute(sql.DONE, (durable, *key, most)).fetchall()
    return sorted(found, key=lambda columns: columns[-2:], reverse=True)[:most]


def _limited(db: SyncConnection, key: Key, most: int, queue: str | None) -> list[Columns]:
    if queue is not None and key[0] < queue:
        key = [queue, "", -1]
    lane, rest, others = sql.LIMITED
    steps: Iterable[tuple[str, tuple[Any, ...]]] = (
        (lane, (*key,)),
        (rest, (*key[:2],)),
        (others, (key[0],)),
    )
    found: list[Columns] = []
    for statement, values in steps:
        if len(found) < most and not (statement is others and queue is not None):
            found += db.execute(statement, (*values, most - len(found))).fetchall()
    return found
