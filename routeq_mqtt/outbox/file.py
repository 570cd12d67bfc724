"""The file of an outbox: plain SQLite, one call is one transaction, safe on disk when it returns.

Not aiosqlite: its thread keeps a program alive that forgets to close it, and a transaction of one
call needs one turn of the thread instead of one for each statement.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError, OutboxFull, OutboxUnavailable
from routeq_mqtt.outbox import sql
from routeq_mqtt.outbox.rows import OutboxJob, OutboxRow, OutboxStatus, SetAside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from routeq_mqtt.outbox.options import OutboxOptions

_BUSY_FOR = 30.0
"""Seconds to wait for another process's commit."""


@dataclass(slots=True)
class _Room:
    """How full the file is, while a transaction adds to it."""

    jobs: int
    bytes: int
    seq: int
    total: int


class OutboxFile:
    """See the module. For one thread.

    Args:
        options: where it is and how much it may hold.

    Raises:
        ConfigurationError: it cannot be made there, or is of a later version.
        OutboxUnavailable: it is no SQLite file, or damaged; it is left as it is.
    """

    def __init__(self, options: OutboxOptions) -> None:
        self._options = options
        if options.path.is_dir():
            raise ConfigurationError(f"outbox={str(options.path)!r} is a folder; name a file in it")
        if not options.path.parent.is_dir():
            raise ConfigurationError(
                f"outbox={str(options.path)!r}: there is no folder {str(options.path.parent)!r}; "
                "make it first"
            )
        with self._as_unavailable():
            self._db = sqlite3.connect(
                options.path, timeout=_BUSY_FOR, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        deadline = time.monotonic() + _BUSY_FOR
        while True:
            try:
                for pragma in sql.OPEN:
                    self._db.execute(pragma)
                break
            except sqlite3.OperationalError as error:
                # Two processes that make one file at once: SQLite does not wait here by itself.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        with self._transaction():
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version > len(sql.MIGRATIONS):
                raise ConfigurationError(
                    f"outbox {self._options.path} is of version {version}, this library knows up "
                    f"to {len(sql.MIGRATIONS)}: upgrade routeq-mqtt"
                )
            for number, script in enumerate(sql.MIGRATIONS[version:], version + 1):
                for statement in script.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {number}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._as_unavailable():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _as_unavailable(self) -> Iterator[None]:
        path = self._options.path
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutboxUnavailable(
                f"outbox {path} cannot be used now: {error}; nothing was kept"
            ) from error
        except sqlite3.DatabaseError as error:
            raise OutboxUnavailable(
                f"outbox {path} is damaged or no SQLite file: {error}; it was left as it is: move "
                "it away with its -wal file, and a new one is made"
            ) from error

    # -- in ------------------------------------------------------------------------------------

    def add(self, puts: Sequence[Sequence[OutboxJob]]) -> list[OutboxFull | None]:
        """Keep several puts in one commit; for each: None, or why there is no room for it."""
        with self._transaction():
            room = self._room()
            return [self._add(jobs, room) for jobs in puts]

    def _room(self) -> _Room:
        first = self._db.execute(sql.FIRST).fetchone()
        meta = self._meta()
        if first is None:
            return _Room(meta["aside_jobs"], meta["aside_bytes"], 0, 0)
        seq, total = self._db.execute(sql.LAST).fetchone()
        jobs, size = self._held(first, seq, total, ragged=bool(meta["ragged"]))
        return _Room(jobs + meta["aside_jobs"], size + meta["aside_bytes"], seq, total)

    def _held(
        self, first: tuple[Any, ...], last_seq: int, last_total: int, *, ragged: bool
    ) -> tuple[int, int]:
        if ragged:
            jobs, size = self._db.execute(sql.EXACT).fetchone()
            return int(jobs), int(size)
        return last_seq - first[0] + 1, last_total - first[1] + first[2]

    def _meta(self) -> dict[str, int]:
        return dict(self._db.execute(sql.META).fetchall())

    def _add(self, jobs: Sequence[OutboxJob], room: _Room) -> OutboxFull | None:
        options = self._options
        size = sum(len(job.envelope) for job in jobs)
        if len(jobs) > options.max_jobs or size > options.max_bytes:
            return OutboxFull(
                f"{len(jobs)} jobs of {size} bytes are more than the whole outbox {options.path} "
                f"may hold (max_jobs={options.max_jobs}, max_bytes={options.max_bytes})"
            )
        jobs_over = room.jobs + len(jobs) - options.max_jobs
        bytes_over = room.bytes + size - options.max_bytes
        if jobs_over > 0 or bytes_over > 0:
            if options.when_full == "refuse":
                return OutboxFull(
                    f"the outbox {options.path} is full: {room.jobs} jobs of {room.bytes} bytes "
                    f"(max_jobs={options.max_jobs}, max_bytes={options.max_bytes}); nothing was "
                    "kept. Raise the limit, or let it drop the oldest: when_full=drop_oldest"
                )
            self._drop(jobs_over, bytes_over, room)
        self._insert(jobs, room)
        room.jobs += len(jobs)
        room.bytes += size
        return None

    def _insert(self, jobs: Sequence[OutboxJob], room: _Room) -> None:
        values = []
        for job in jobs:
            room.seq += 1
            room.total += len(job.envelope)
            values.append(
                (
                    room.seq, job.id, job.queue, job.stored, job.delayed, job.expires_at,
                    job.kept_at, room.total, job.envelope,
                )
            )  # fmt: skip
        self._db.executemany(sql.ADD, values)

    def _drop(self, jobs_over: int, bytes_over: int, room: _Room) -> None:
        """Make room: what was set aside goes first, it is the oldest."""
        dropped = 0
        while jobs_over > 0 or bytes_over > 0:
            found = self._db.execute(sql.OLDEST_ASIDE).fetchone()
            if found is None:
                break
            self._forget_aside([found])
            jobs_over, bytes_over, dropped = jobs_over - 1, bytes_over - found[1], dropped + 1
            room.jobs, room.bytes = room.jobs - 1, room.bytes - found[1]
        last = None
        for seq, size in self._db.execute(sql.OLDEST):
            if jobs_over <= 0 and bytes_over <= 0:
                break
            jobs_over, bytes_over, dropped = jobs_over - 1, bytes_over - size, dropped + 1
            room.jobs, room.bytes = room.jobs - 1, room.bytes - size
            last = seq
        if last is not None:
            self._db.execute(sql.DROP_UP_TO, (last,))
        self._db.execute(sql.ADD_TO_META, (dropped, "dropped"))

    # -- out -----------------------------------------------------------------------------------

    def head(self, limit: int) -> list[OutboxRow]:
        """The oldest jobs, in order."""
        with self._as_unavailable():
            return [
                OutboxRow(
                    seq=row[0],
                    id=row[1],
                    queue=row[2],
                    stored=bool(row[3]),
                    delayed=bool(row[4]),
                    expires_at=row[5],
                    kept_at=row[6],
                    envelope=bytes(row[7]),
                )
                for row in self._db.execute(sql.HEAD, (limit,))
            ]

    def settle(
        self, gone: Sequence[OutboxRow], aside: Sequence[tuple[OutboxRow, str]], now: float
    ) -> None:
        """Delete jobs that somebody else has, and set those aside that nobody takes."""
        with self._transaction():
            for row, error in aside:
                moved = self._db.execute(sql.SET_ASIDE, (error[:1_000], now, row.seq, row.id))
                self._db.execute(sql.ADD_TO_META, (moved.rowcount, "aside_jobs"))
                size = moved.rowcount * len(row.envelope)
                self._db.execute(sql.ADD_TO_META, (size, "aside_bytes"))
            rows = [*gone, *(row for row, _ in aside)]
            self._db.executemany(sql.FORGET, [(row.seq, row.id) for row in rows])
            last = max(row.seq for row in rows)
            ragged = int(self._db.execute(sql.BEFORE, (last,)).fetchone() is not None)
            if ragged != self._meta()["ragged"]:
                self._db.execute(sql.SET_META, (ragged, "ragged"))

    def bring_back(self) -> int:
        """Let what was set aside be sent again, behind the others; how many."""
        with self._transaction():
            names = ("id", "queue", "stored", "delayed", "expires_at", "kept_at", "envelope")
            found = [
                OutboxJob(**dict(zip(names, row, strict=True)))
                for row in self._db.execute(sql.ASIDE_JOBS)
            ]
            self._insert(found, self._room())
            self._db.execute(sql.FORGET_ALL_ASIDE)
            for key in ("aside_jobs", "aside_bytes"):
                self._db.execute(sql.SET_META, (0, key))
            return len(found)

    def _forget_aside(self, found: Sequence[tuple[str, int]]) -> None:
        self._db.executemany(sql.FORGET_ASIDE, [(job_id,) for job_id, _ in found])
        self._db.execute(sql.ADD_TO_META, (-len(found), "aside_jobs"))
        self._db.execute(sql.ADD_TO_META, (-sum(size for _, size in found), "aside_bytes"))

    def status(self) -> OutboxStatus:
        """What is there."""
        with self._as_unavailable():
            first = self._db.execute(sql.FIRST).fetchone()
            meta = self._meta()
            jobs, size = self._db.execute(sql.EXACT).fetchone()
            return OutboxStatus(
                jobs=int(jobs),
                bytes=int(size),
                oldest=None if first is None else first[3],
                dropped=meta["dropped"],
                aside_jobs=meta["aside_jobs"],
                aside=[
                    SetAside(id=row[0], queue=row[1], size=row[2], error=row[3], at=row[4])
                    for row in self._db.execute(sql.ASIDE)
                ],
            )
