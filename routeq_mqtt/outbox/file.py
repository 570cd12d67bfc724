"""The file of an outbox: plain SQLite, one call is one transaction, safe on disk when it returns.

Not aiosqlite: its thread keeps a program alive that forgets to close it, and a transaction of one
call needs one turn of the thread instead of one for each statement.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError, OutboxFull, OutboxUnavailable
from routeq_mqtt.outbox import sql
from routeq_mqtt.outbox.disk import DiskRoom, log_limit, log_size, pages_of, parts, spare_pages
from routeq_mqtt.outbox.forking import close_in_forks, leave_in_forks, open_places
from routeq_mqtt.outbox.place import Place, abandon, alone_in, make, real
from routeq_mqtt.outbox.rows import OutboxJob, OutboxRow, OutboxStatus, SetAside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from routeq_mqtt.outbox.options import OutboxOptions

_BUSY_FOR = 30.0
"""Seconds to wait for another process's commit."""

_PAGE_SIZE = 4096
_NAMES = ("id", "queue", "stored", "delayed", "expires_at", "kept_at", "envelope")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: jobs that wait, and rows of those that were set aside."""

    jobs: Sequence[OutboxJob]
    aside: Sequence[tuple[Any, ...]]


class OutboxDamaged(OutboxUnavailable):
    """The file is no SQLite file, or damaged: trying again does not help."""


@dataclass(slots=True)
class _Room:
    """How full the file is, while a transaction adds to it."""

    jobs: int
    bytes: int
    seq: int
    total: int
    disk: DiskRoom

    def over(self, jobs: int, size: int, pages: float, options: OutboxOptions) -> _Over | None:
        """What is too much, were these added; None: they fit."""
        over = _Over(
            self.jobs + jobs - options.max_jobs,
            self.bytes + size - options.max_bytes,
            self.disk.over(pages),
        )
        return over if over.is_any else None


@dataclass(slots=True)
class _Over:
    """By how much a file is too full."""

    jobs: int
    bytes: int
    pages: float

    @property
    def is_any(self) -> bool:
        return self.jobs > 0 or self.bytes > 0 or self.pages > 0

    def without(self, size: int) -> None:
        """A job of this many bytes goes."""
        self.jobs -= 1
        self.bytes -= size
        self.pages -= size / _PAGE_SIZE


class OutboxFile:
    """The SQLite file of an outbox; each call is one transaction. For one thread.

    Args:
        options: where it is and how much it may hold.

    Attributes:
        place: where it was opened.

    Raises:
        ConfigurationError: it cannot be made there, or is of a later version.
        OutboxUnavailable: it is not a SQLite file, or damaged; it is left as it is.
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
        self._path = real(options.path)
        self._log_limit = log_limit(self._path, options.max_bytes)
        with self._as_unavailable(), alone_in(self._path.parent):
            make(self._path)
            self._db = sqlite3.connect(
                self._path, timeout=_BUSY_FOR, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise
            self.place: Place = Place(options.path)
            close_in_forks(self)

    # -- its place -----------------------------------------------------------------------------

    def abandon(self) -> None:
        """Make way for the next file at the path."""
        self.place.clear()
        abandon(self._db)
        leave_in_forks(self)
        with contextlib.suppress(OSError):  # no more open files: the room of its log stays taken
            self.place.free(open_places())

    def write_back(self) -> None:
        """Write the log back into the file, also a log that was deleted.

        The log is used again from its beginning, and keeps its length: its room on the disk.
        """
        with self._as_unavailable():
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def shrink(self) -> None:
        """Give back the room of what was deleted; as much of it as others let go."""
        with self._as_unavailable():
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def version(self) -> int:
        """Grows with the commits of others; needs no stamp of a file, which may be coarse."""
        with self._as_unavailable():
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def contents(self) -> Contents:
        """All jobs, those set aside too."""
        with self._as_unavailable():
            jobs = self._db.execute(sql.JOBS).fetchall()
            aside = self._db.execute(sql.ASIDE_ROWS).fetchall()
        return Contents([OutboxJob(**dict(zip(_NAMES, row, strict=True))) for row in jobs], aside)

    def take_over(self, contents: Contents) -> int:
        """Keep what another file held, whatever the limits say; how many are new here."""
        with self._transaction():
            known = {row[0] for row in self._db.execute(sql.IDS)}
            jobs = [job for job in contents.jobs if job.id not in known]
            aside = [row for row in contents.aside if row[0] not in known]
            self._insert(jobs, self._room())
            self._db.executemany(sql.ADD_ASIDE, aside)
            self._db.execute(sql.ADD_TO_META, (len(aside), "aside_jobs"))
            size = sum(len(row[-1]) for row in aside)
            self._db.execute(sql.ADD_TO_META, (size, "aside_bytes"))
        return len(jobs) + len(aside)

    def forget(self, ids: Sequence[str]) -> None:
        """Delete jobs by their ids, where their numbers may have changed."""
        with self._transaction():
            self._db.execute(sql.FORGET_IDS, (json.dumps(list(ids)),))
            self._db.execute(sql.SET_META, (1, "ragged"))

    def forget_contents(self, contents: Contents) -> None:
        """Delete what another file has taken over, and nothing that came since."""
        self.forget([job.id for job in contents.jobs])
        with self._transaction():
            self._forget_aside([(row[0], len(row[-1])) for row in contents.aside])

    def _prepare(self) -> None:
        deadline = time.monotonic() + _BUSY_FOR
        while True:
            try:
                for pragma in sql.OPEN:
                    self._db.execute(pragma)
                pages = self._log_limit // 2 // _PAGE_SIZE
                self._db.execute(f"PRAGMA wal_autocheckpoint = {pages}")
                # It stays that long: what a full disk has given to the log, deletes can use.
                self._db.execute(f"PRAGMA journal_size_limit = {self._log_limit}")
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

    def close_inherited(self) -> None:
        """Close the file in a fork, unless it has left its place: see `abandon`."""
        if self.place.is_kept():
            self.close()
        else:
            abandon(self._db)

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        leave_in_forks(self)

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
        self._bound_log()

    def _bound_log(self) -> None:
        """Cut the log where it is longer than it may be: a large commit, or a slow reader."""
        if log_size(self._path) > self._log_limit:
            with self._as_unavailable(), contextlib.suppress(sqlite3.OperationalError):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextlib.contextmanager
    def _as_unavailable(self) -> Iterator[None]:
        path = self._options.path
        try:
            yield
        except OSError as error:
            raise OutboxUnavailable(
                f"outbox {path} cannot be used now: {error}; nothing was kept"
            ) from error
        except sqlite3.OperationalError as error:
            raise OutboxUnavailable(
                f"outbox {path} cannot be used now: {error}; nothing was kept"
            ) from error
        except sqlite3.DatabaseError as error:
            raise OutboxDamaged(
                f"outbox {path} is damaged or no SQLite file: {error}; it was left as it is: move "
                "it away with its -wal file, and a new one is made"
            ) from error

    # -- in ------------------------------------------------------------------------------------

    def add(
        self, puts: Sequence[Sequence[OutboxJob]]
    ) -> list[OutboxFull | OutboxUnavailable | None]:
        """Keep several puts in one commit; for each: None, or why there is no room for it."""
        self._grow(pages_of(job for jobs in puts for job in jobs))
        with self._transaction():
            room = self._room()
            return [self._add(jobs, room) for jobs in puts]

    def _grow(self, wanted: float) -> None:
        """Take room on a small disk before it is needed; see `spare_pages`."""
        with self._as_unavailable():
            path, most = self._path, self._options.max_bytes
            spare = spare_pages(self._db, path, most, self._log_limit, wanted)
        if spare <= 0:
            return
        with contextlib.suppress(OutboxUnavailable):  # the disk is full: `add` says so
            with self._transaction():
                self._db.execute(sql.SPARE)
                self._db.execute(sql.FORGET_SPARE)
                self._db.execute(sql.ADD_SPARE, (spare * _PAGE_SIZE,))
            self.write_back()
            with self._transaction():
                self._db.execute(sql.FORGET_SPARE)

    def _room(self) -> _Room:
        first = self._db.execute(sql.FIRST).fetchone()
        meta = self._meta()
        disk = DiskRoom.of(self._db, self._path, self._options.max_bytes, self._log_limit)
        if first is None:
            return _Room(meta["aside_jobs"], meta["aside_bytes"], 0, 0, disk)
        seq, total = self._db.execute(sql.LAST).fetchone()
        jobs, size = self._held(first, seq, total, ragged=bool(meta["ragged"]))
        return _Room(jobs + meta["aside_jobs"], size + meta["aside_bytes"], seq, total, disk)

    def _held(
        self, first: tuple[Any, ...], last_seq: int, last_total: int, *, ragged: bool
    ) -> tuple[int, int]:
        if ragged:
            jobs, size = self._db.execute(sql.EXACT).fetchone()
            return int(jobs), int(size)
        return last_seq - first[0] + 1, last_total - first[1] + first[2]

    def _meta(self) -> dict[str, int]:
        return dict(self._db.execute(sql.META).fetchall())

    def _add(self, jobs: Sequence[OutboxJob], room: _Room) -> OutboxFull | OutboxUnavailable | None:
        options = self._options
        size, pages = sum(len(job.envelope) for job in jobs), pages_of(jobs)
        if len(jobs) > options.max_jobs or size > options.max_bytes:
            return OutboxFull(
                f"{len(jobs)} jobs of {size} bytes are more than the whole outbox {options.path} "
                f"may hold (max_jobs={options.max_jobs}, max_bytes={options.max_bytes})"
            )
        if not room.disk.ever_fits(pages):
            return self._no_room(len(jobs), size, room, pages)
        while (over := room.over(len(jobs), size, pages, options)) is not None:
            if options.when_full == "refuse" or not self._drop(over, room):
                return self._no_room(len(jobs), size, room, pages)
            room.disk.look(self._db)
        self._insert(jobs, room)
        room.jobs += len(jobs)
        room.bytes += size
        room.disk.add(pages)
        return None

    def _no_room(
        self, jobs: int, size: int, room: _Room, pages: float
    ) -> OutboxFull | OutboxUnavailable:
        options = self._options
        if room.disk.disk_is_full and room.disk.over(pages) > 0:
            return OutboxUnavailable(
                f"outbox {options.path} cannot be used now: the disk is full, {jobs} jobs of "
                f"{size} bytes and what it takes to delete them later do not fit; nothing was kept"
            )
        return OutboxFull(
            f"the outbox {options.path} is full: {room.jobs} jobs of {room.bytes} bytes "
            f"(max_jobs={options.max_jobs}, max_bytes={options.max_bytes} on disk); nothing was "
            "kept. Raise the limit, or let it drop the oldest: when_full=drop_oldest"
        )

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

    def _drop(self, over: _Over, room: _Room) -> bool:
        """Make room: what was set aside goes first, it is the oldest; whether anything went."""
        dropped = 0
        while over.is_any:
            found = self._db.execute(sql.OLDEST_ASIDE).fetchone()
            if found is None:
                break
            self._forget_aside([found])
            over.without(found[1])
            dropped += 1
            room.jobs, room.bytes = room.jobs - 1, room.bytes - found[1]
        last = None
        with contextlib.closing(self._db.execute(sql.OLDEST)) as oldest:
            for seq, size in oldest:
                if not over.is_any:
                    break
                over.without(size)
                dropped += 1
                room.jobs, room.bytes = room.jobs - 1, room.bytes - size
                last = seq
        if last is not None:
            self._db.execute(sql.DROP_UP_TO, (last,))
        self._db.execute(sql.ADD_TO_META, (dropped, "dropped"))
        return dropped > 0

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
        """Delete jobs that were delivered, and set aside those that are refused."""
        errors = {row.seq: error for row, error in aside}
        for rows in parts([*gone, *(row for row, _ in aside)], self._log_limit):
            kept = [(row, errors[row.seq]) for row in rows if row.seq in errors]
            self._settle_part([row for row in rows if row.seq not in errors], kept, now)

    def _settle_part(
        self, gone: Sequence[OutboxRow], aside: Sequence[tuple[OutboxRow, str]], now: float
    ) -> None:
        try:
            self._settle(gone, aside, now)
        except OutboxDamaged:
            raise
        except OutboxUnavailable:  # a full disk: the log can be written back without a commit
            self.write_back()
            self._settle(gone, aside, now)

    def _settle(
        self, gone: Sequence[OutboxRow], aside: Sequence[tuple[OutboxRow, str]], now: float
    ) -> None:
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
            found = [
                OutboxJob(**dict(zip(_NAMES, row, strict=True)))
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
