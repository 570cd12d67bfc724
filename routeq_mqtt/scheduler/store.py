"""Rows and failed records in the scheduler's SQLite. One call is one transaction."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler import sql
from routeq_mqtt.scheduler.database import Database
from routeq_mqtt.scheduler.failing import expired
from routeq_mqtt.scheduler.rows import (
    Counts,
    FailedRow,
    FailedSummary,
    Moved,
    NewFailed,
    NewRow,
    Row,
    as_it_is,
    read_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from routeq_mqtt.scheduler.database import Transaction

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
    async def open(cls, path: Path) -> Store:
        """Open a database, and make it where it is missing; see `Database.open`."""
        return cls(await Database.open(path))

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
        untagged: Sequence[tuple[int, bytes, str]] = (),
        forget_untagged: Sequence[int] = (),
        moved: Moved = as_it_is,
    ) -> int:
        """Take rows in; how many. One that is here with this attempt, or done, drops the newcomer.

        Args:
            rows: to take in.
            untagged: packet id, digest and given id of messages that came without an id.
            forget_untagged: packet ids of such messages that cannot come again.
            moved: asked when it is our turn: the clock may have been set since a row was counted.
        """
        async with self._db.transaction() as work:
            await work.many(sql.UNTAG, [(packet,) for packet in forget_untagged])
            await work.many(sql.TAG, untagged)
            rows = [row if row.era is None else moved(row) for row in rows]
            return await _insert(work, sql.TAKE, rows, [(row.era,) for row in rows])

    async def restore(self, rows: Sequence[NewRow]) -> int:
        """Take back what a dead worker held; how many. Draining a message twice changes nothing."""
        async with self._db.transaction() as work:
            return await _insert(work, sql.RESTORE, rows, [(row.charged,) for row in rows])

    async def untagged_id(self, packet_id: int, digest: bytes) -> str | None:
        """The id that was given to this message when it came first."""
        rows = await self._db.read(sql.TAGGED, (packet_id, digest))
        return str(rows[0][0]) if rows else None

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

    async def park_missing(self, rows: Iterable[tuple[str, int, int]]) -> None:
        """Mark rows as parked that nobody holds, unless they are at a later attempt or delivery."""
        await self._db.write(sql.PARK_MISSING, list(rows))

    async def done(self, outcomes: Iterable[tuple[str, int]], at: float) -> int:
        """Make tombstones of rows that were done, in this attempt or an earlier one; how many."""
        return await self._db.write(
            sql.DONE, [(at, job_id, attempt) for job_id, attempt in outcomes]
        )

    async def released(self, queue: str | None = None) -> list[tuple[str, int, int]]:
        """Ids, attempts and deliveries of released rows."""
        rows = (
            await self._db.read(sql.RELEASED)
            if queue is None
            else await self._db.read(sql.RELEASED_OF, (queue,))
        )
        return [(str(job_id), int(attempt), int(times)) for job_id, attempt, times in rows]

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

    async def purge(
        self,
        now: float,
        *,
        keep_durable: float = DURABLE_KEPT,
        keep_others: float = OTHERS_KEPT,
        limit: int = 5_000,
    ) -> int:
        """Delete tombstones older than so many seconds, `limit` at most; how many.

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
            await keep_failed(work, records, at)

    async def expire(self, now: float, limit: int) -> list[str]:
        """Make failed records of jobs that wait here and whose time has passed; their ids."""
        async with self._db.transaction() as work:
            rows = read_rows(await work.read(sql.EXPIRED, (now, limit)))
            await keep_failed(work, [expired(row, now) for row in rows], now)
        return [row.id for row in rows]

    async def next_expiry(self, now: float) -> tuple[float | None, bool]:
        """When the next job expires; whether there are any, also late ones in workers' hands."""
        following, any_left = (await self._db.read(sql.NEXT_EXPIRY, (now,)))[0]
        return following, bool(any_left)

    async def failed_list(
        self, queue: str | None = None, *, limit: int = 100
    ) -> list[FailedSummary]:
        """Failed records, newest first."""
        rows = (
            await self._db.read(sql.FAILED_LIST, (limit,))
            if queue is None
            else await self._db.read(sql.FAILED_LIST_OF, (queue, limit))
        )
        return [FailedSummary(**_named(_SUMMARY, row)) for row in rows]

    async def failed_get(self, job_id: str) -> FailedRow | None:
        """One failed record."""
        rows = await self._db.read(sql.FAILED_GET, (job_id,))
        return FailedRow(**_named((*_SUMMARY, "record"), rows[0])) if rows else None

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


async def keep_failed(work: Transaction, records: Sequence[NewFailed], at: float) -> None:
    """Keep failed records, and make tombstones of their rows, within a transaction."""
    await work.many(
        sql.FAIL,
        [
            (
                r.id, r.queue, r.job, r.reason, r.error, r.worker, r.failed_at, r.record,
                r.attempt, r.deliveries,
            )
            for r in {record.id: record for record in records}.values()
        ],
    )  # fmt: skip
    await work.many(sql.TOMBSTONE, [(at, r.id, r.attempt, r.deliveries) for r in records])


async def _insert(
    work: Transaction,
    statement: str,
    rows: Sequence[NewRow],
    more: Iterable[tuple[object, ...]] = repeat(()),
) -> int:
    """Insert rows; `more` are the statement's own values for each."""
    seq = int((await work.read(sql.READ_SEQ))[0][0])
    values = [
        (
            row.id, row.queue, row.attempt, row.deliveries, row.state, row.run_at,
            seq + number, row.durable, row.expires_at, row.envelope, *own,
        )
        for number, (row, own) in enumerate(zip(rows, more, strict=False), 1)
    ]  # fmt: skip
    taken = await work.many(statement, values)
    await work.run(sql.WRITE_SEQ, (seq + len(rows),))
    return taken


def _named(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(names, row, strict=True))
