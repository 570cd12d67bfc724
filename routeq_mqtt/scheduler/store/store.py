"""Rows and failed records in the scheduler's SQLite. One call is one transaction."""

from __future__ import annotations

import contextlib
from itertools import repeat
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler.store.database import Database
from routeq_mqtt.scheduler.store.failed_records import expired
from routeq_mqtt.scheduler.store.failed_rows import keep_failed
from routeq_mqtt.scheduler.store.identity import told_apart
from routeq_mqtt.scheduler.store.rows import (
    NONE_GIVEN,
    Counts,
    Ended,
    FailedRow,
    FailedSummary,
    GivenId,
    GivenNow,
    Moved,
    NewFailed,
    NewRow,
    Row,
    as_it_is,
    read_rows,
)
from routeq_mqtt.scheduler.store.sql import jobs as sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from routeq_mqtt.scheduler.store.database import Transaction
    from routeq_mqtt.scheduler.store.engines.engine import Held, SyncConnection
    from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace

DURABLE_KEPT = 7 * 86_400.0
OTHERS_KEPT = 600.0


class Store:
    """Rows and failed records, safe on disk when a call returns.

    Every method raises `StoreUnavailable` when the database cannot be written or read; then it is
    as it was before the call, and usable as soon as the cause is gone.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    @classmethod
    async def open(cls, path: DatabasePlace, held: Held | None = None) -> Store:
        """Open a database, and make it where it is missing; see `Database.open`."""
        return cls(await Database.open(path, held=held))

    async def close(self) -> None:
        """Close the database."""
        await self._db.close()

    @property
    def database(self) -> Database:
        """For the stores of other roles: one file, one transaction at a time."""
        return self._db

    # -- rows in -------------------------------------------------------------------------------

    async def take(
        self,
        rows: Sequence[NewRow],
        *,
        given: GivenNow = NONE_GIVEN,
        moved: Moved = as_it_is,
        renamed: dict[str, str] | None = None,
    ) -> int:
        """Take rows in; how many. One that is here with this attempt, or done, drops the newcomer.

        What producers send only adds rows: a job of another queue that has the id of one that is
        here gets a key of its own; see `identity`.

        Args:
            rows: to take in.
            given: ids of those of them that came without one.
            moved: asked when it is our turn: the clock may have been set since a row was counted.
            renamed: filled with the keys of rows that could not have their job's id.
        """
        if given is NONE_GIVEN and all(_is_plain(row) for row in rows):
            with contextlib.suppress(_Known):  # nearly always: one visit to SQLite's thread
                return await self._db.work(lambda db: _add(db, rows))
        async with self._db.transaction() as work:
            await _give(work, given)
            rows = [row if row.era is None else moved(row) for row in rows]
            sent = [row for row in rows if not row.proven and row.origin is None]
            taken = await _insert(work, sql.ADD, sent, _eras(sent))
            if taken < len(sent):
                taken += await self._add_apart(work, sent, {} if renamed is None else renamed)
            back = [row for row in rows if row.proven or row.origin is not None]
            if back:
                back = await told_apart(work, back, self._db.tokens)
                taken += await _insert(work, sql.TAKE, back, _eras(back))
            return taken

    async def restore(self, rows: Sequence[NewRow], *, given: GivenNow = NONE_GIVEN) -> int:
        """Take back what a dead worker held; how many. Draining a message twice changes nothing."""
        async with self._db.transaction() as work:
            await _give(work, given)
            apart = await told_apart(work, rows, self._db.tokens)
            return await _insert(work, sql.RESTORE, apart, [(row.charged,) for row in apart])

    async def _add_apart(
        self, work: Transaction, sent: Sequence[NewRow], renamed: dict[str, str]
    ) -> int:
        """Add those of some rows that found their id taken by another job."""
        apart = await told_apart(work, sent, self._db.tokens)
        others = [(row.id, one) for row, one in zip(sent, apart, strict=True) if one is not row]
        renamed.update({job_id: one.id for job_id, one in others})
        rows = [one for _, one in others]
        return await _insert(work, sql.ADD, rows, _eras(rows))

    async def given_ids(self, session: str) -> list[GivenId]:
        """Ids that were given to messages of a session which may come again, in order."""
        rows = await self._db.read(sql.GIVEN_IDS, (session,))
        return [GivenId(*row) for row in rows]

    async def given_over(self, over: Sequence[tuple[str, int]]) -> None:
        """These, by session and number, cannot come again."""
        await self._db.write(sql.GIVEN_OVER, over)

    async def forget_given(self, session: str) -> None:
        """No message of a session can come again."""
        await self._db.write(sql.FORGET_GIVEN, [(session,)])

    # -- rows on their way ---------------------------------------------------------------------

    async def due(self, now: Callable[[], float], limit: int) -> list[Row]:
        """Delayed rows whose time has come.

        Args:
            now: asked when it is our turn: while we waited, the clock may have been set, and the
                rows moved.
            limit: rows at most.
        """
        return read_rows(await self._db.read(sql.DUE, lambda: (now(), limit)))

    async def next_due(self) -> float | None:
        """When the next delayed row is due."""
        rows = await self._db.read(sql.NEXT_DUE)
        return float(rows[0][0]) if rows else None

    async def parked(self, queue: str, limit: int, after: int = -1) -> list[Row]:
        """Parked rows of a queue, in order of arrival."""
        return read_rows(await self._db.read(sql.PARKED, (queue, after, limit)))

    async def parked_queues(self) -> list[str]:
        """Queues that have parked rows."""
        return [str(row[0]) for row in await self._db.read(sql.PARKED_QUEUES)]

    async def release(self, rows: Sequence[Row]) -> list[Row]:
        """Mark rows as released; those that are still as they were read.

        One that was cancelled meanwhile, or given another content, is not among them.
        """
        changed = await self._db.write(sql.RELEASE, [(row.id, row.run_at) for row in rows])
        if changed == len(rows):
            return list(rows)
        # Nobody else touches what was released and is not yet published.
        left = [await self._db.read(sql.IS_RELEASED, (row.id, row.run_at)) for row in rows]
        return [row for row, found in zip(rows, left, strict=True) if found[0][0]]

    async def park(self, ids: Iterable[str]) -> None:
        """Mark rows as parked."""
        await self._db.write(sql.PARK, [(job_id,) for job_id in ids])

    async def park_missing(self, rows: Iterable[tuple[str, int, int]]) -> int:
        """Mark rows without a holder as parked, unless they are at a later attempt or delivery.

        Returns:
            How many: a retry or an end of the others was on its way to us.
        """
        return await self._db.write(sql.PARK_MISSING, list(rows))

    async def done(self, outcomes: Iterable[Ended], at: float) -> int:
        """Make tombstones of rows that were done, in this attempt or an earlier one; how many.

        Without its token a row is done only if it is of a version that gave it none.
        """
        return await self._db.write(sql.DONE, [(at, *outcome) for outcome in outcomes])

    async def released(self, queue: str | None = None) -> list[tuple[str, int, int]]:
        """Ids, attempts and deliveries of released rows."""
        rows = (
            await self._db.read(sql.RELEASED)
            if queue is None
            else await self._db.read(sql.RELEASED_OF, (queue,))
        )
        return [(str(job_id), int(attempt), int(times)) for job_id, attempt, times in rows]

    async def unmarked(self) -> set[str]:
        """Released rows of an earlier version, which gave them no token."""
        return {str(row[0]) for row in await self._db.read(sql.UNMARKED_RELEASED)}

    async def get(self, job_id: str) -> Row | None:
        """One row."""
        rows = read_rows(await self._db.read(sql.GET, (job_id,)))
        return rows[0] if rows else None

    async def counts(self) -> dict[str, Counts]:
        """How many jobs of each queue are in each state; kept by triggers, never counted."""
        counts: dict[str, dict[str, int]] = {}
        for queue, state, number in await self._db.read(sql.COUNTS):
            counts.setdefault(queue, {})[state] = number
        return {queue: Counts(**states) for queue, states in counts.items()}

    async def in_flight(self) -> tuple[dict[str, int], bool]:
        """Released jobs of each queue that has any; and whether jobs wait for a limit."""
        released: dict[str, int] = {}
        limited = False
        for queue, state, number in await self._db.read(sql.RELEASED_COUNTS):
            if state == "released":
                released[queue] = number
            else:
                limited = True
        return released, limited

    async def purge(
        self,
        now: float,
        *,
        keep_durable: float = DURABLE_KEPT,
        keep_others: float = OTHERS_KEPT,
        limit: int = 5_000,
    ) -> int:
        """Delete tombstones older than this many seconds, `limit` at most; how many.

        One from the future (the clock stepped back) stays until its time has passed.
        """
        async with self._db.transaction() as work:
            durable = await work.run(sql.PURGE, (True, now - keep_durable, limit))
            return durable + await work.run(sql.PURGE, (False, now - keep_others, limit))

    # -- failed records ------------------------------------------------------------------------

    async def fail(self, records: Sequence[NewFailed], at: float) -> None:
        """Keep failed records, and make tombstones of their rows.

        One of an attempt that the row has gone beyond, of a job that is over, or of one that was
        retried by hand since, is dropped.
        """
        async with self._db.transaction() as work:
            await keep_failed(work, records, at, self._db.tokens)

    async def expire(self, now: float, limit: int) -> list[str]:
        """Make failed records of jobs that wait here and whose time has passed; their ids."""
        async with self._db.transaction() as work:
            rows = read_rows(await work.read(sql.EXPIRED, (now, limit)))
            await keep_failed(work, [expired(row, now) for row in rows], now, self._db.tokens)
        return [row.id for row in rows]

    async def next_expiry(self, now: float) -> tuple[float | None, bool]:
        """When the next job expires; whether there are any, also late ones in workers' hands."""
        following, any_left = (await self._db.read(sql.NEXT_EXPIRY, (now,)))[0]
        return following, bool(any_left)

    async def failed_list(
        self,
        queue: str | None = None,
        *,
        limit: int = 100,
        job: str | None = None,
        after: tuple[float, str] | None = None,
    ) -> list[FailedSummary]:
        """Failed records, newest first; `after`: behind the one of this moment and id."""
        at, last = after or (float("inf"), "")
        rows = await self._db.read(
            sql.FAILED_LIST if queue is None else sql.FAILED_LIST_OF, (limit, at, last, job, queue)
        )
        return [FailedSummary(**_named(_SUMMARY, row)) for row in rows]

    async def failed_get(self, job_id: str) -> FailedRow | None:
        """One failed record."""
        rows = await self._db.read(sql.FAILED_GET, (job_id,))
        return FailedRow(**_named((*_SUMMARY, "record", "origin"), rows[0])) if rows else None

    async def failed_ids(self, queue: str | None = None) -> list[str]:
        """Ids of failed records, oldest first."""
        rows = (
            await self._db.read(sql.FAILED_IDS)
            if queue is None
            else await self._db.read(sql.FAILED_IDS_OF, (queue,))
        )
        return [str(row[0]) for row in rows]

    async def failed_retry(self, ids: Sequence[str], rows: Sequence[NewRow]) -> None:
        """Failed records go, rows come back in their place."""
        async with self._db.transaction() as work:
            rows = await told_apart(work, rows, self._db.tokens)
            await _insert(work, sql.REPLACE, rows)
            await work.many(sql.FAILED_FORGET, [(job_id,) for job_id in ids])

    async def failed_forget(self, ids: Sequence[str]) -> int:
        """Delete failed records; how many."""
        return await self._db.write(sql.FAILED_FORGET, [(job_id,) for job_id in ids])

    async def failed_flush(self, queue: str | None = None) -> int:
        """Delete all failed records, or all of a queue; how many."""
        async with self._db.transaction() as work:
            if queue is None:
                return await work.run(sql.FAILED_FLUSH)
            return await work.run(sql.FAILED_FLUSH_OF, (queue,))


_SUMMARY = tuple(column.strip() for column in sql.SUMMARY.split(","))


def _eras(rows: Sequence[NewRow]) -> list[tuple[str | None]]:
    return [(row.era,) for row in rows]


async def _give(work: Transaction, given: GivenNow) -> None:
    """Write down what was given first: some of it may be over already."""
    if given.given:
        await work.many(sql.GIVE_ID, given.given)
    if given.over:
        await work.many(sql.GIVEN_OVER, given.over)


def _is_plain(row: NewRow) -> bool:
    """Whether a row comes from its producer, and was not counted by the clock."""
    return row.origin is None and row.era is None and not row.proven


class _Known(Exception):
    """A row with one of the ids is there already; nothing was added."""


def _add(db: SyncConnection, rows: Sequence[NewRow]) -> int:
    """Add plain rows, in a transaction and in SQLite's thread.

    Raises:
        _Known: see there.
    """
    seq = int(db.execute(sql.READ_SEQ).fetchone()[0])
    taken = db.executemany(sql.ADD, [(*one, None) for one in _values(rows, seq)]).rowcount
    if taken < len(rows):
        raise _Known
    db.execute(sql.WRITE_SEQ, (seq + len(rows),))
    return taken


def _values(rows: Sequence[NewRow], seq: int) -> Iterator[tuple[Any, ...]]:
    """The columns of new rows; the first one gets the number behind `seq`."""
    for number, row in enumerate(rows, seq + 1):
        yield (
            row.id, row.queue, row.attempt, row.deliveries, row.state, row.run_at,
            number, row.durable, row.expires_at, row.envelope, row.origin,
        )  # fmt: skip


async def _insert(
    work: Transaction,
    statement: str,
    rows: Sequence[NewRow],
    more: Iterable[tuple[object, ...]] = repeat(()),
) -> int:
    """Insert rows; `more` are the statement's own values for each."""
    seq = int((await work.read(sql.READ_SEQ))[0][0])
    values = [(*one, *own) for one, own in zip(_values(rows, seq), more, strict=False)]
    taken = await work.many(statement, values)
    await work.run(sql.WRITE_SEQ, (seq + len(rows),))
    return taken


def _named(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(names, row, strict=True))
