"""The scheduler's SQLite: the one home of aiosqlite. One `transaction` at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import aiosqlite

from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.store.files.ours import refuse_foreign
from routeq_mqtt.scheduler.store.lock import FileLock
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.schema.schema import migrations_from
from routeq_mqtt.scheduler.store.sql import epoch as sql_epoch
from routeq_mqtt.scheduler.store.sql import jobs as sql
from routeq_mqtt.scheduler.store.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path

log: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

_LOG_AT_LEAST, _LOG_AT_MOST = 256 * 1024, 64 * 1024 * 1024

Values = tuple[Any, ...]
Connect = Callable[["Path"], Awaitable[aiosqlite.Connection]]


async def connect(path: Path) -> aiosqlite.Connection:
    """A connection with a thread of its own; none where the file cannot be opened."""
    sqlite3.connect(path).close()
    return await aiosqlite.connect(path, isolation_level=None)


class Database:
    """What the stores share: one connection, one transaction at a time.

    Every method raises `StoreUnavailable` when the database cannot be written or read; then it is
    as it was before the call, and usable as soon as the cause is gone.

    Attributes:
        written: fires after each commit.
        tokens: of its rows.
        lineage: what it has in common with its copies only.
        refused: fires after each commit that the disk did not take.
        is_refused: the last write was refused.
        commits, commit_seconds: how many transactions there were, and how long they took in all.
    """

    def __init__(
        self,
        db: aiosqlite.Connection,
        lock: FileLock,
        secret: bytes,
        lineage: str,
        aside: Path | None = None,
    ) -> None:
        self.written: Notifier = Notifier()
        self.tokens: Tokens = Tokens(secret)
        self.lineage = lineage
        self.refused: Notifier = Notifier()
        self.is_refused: bool = False
        self.commits: int = 0
        self.commit_seconds: float = 0.0
        self._db = db
        self._lock = lock
        self._aside = aside
        self._turn = asyncio.Lock()
        self._looking = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        connect: Connect = connect,
        lock_file: Callable[[Path], FileLock] = FileLock,
        held: FileLock | None = None,
        threads: bool = True,
    ) -> Database:
        """Open a database, and make it where it is missing.

        Args:
            path: the SQLite file.
            connect: opens it; a simulation opens it without a thread.
            lock_file: locks it against other processes.
            held: its lock, where we have it already; released if this fails.
            threads: whether `checkpoint` may use one; else it does nothing.

        Raises:
            ConfigurationError: it is of a later version or another program, another process holds
                it, or the folder cannot be written to.
        """
        lock = held or lock_file(path)
        try:
            db = await connect(path)
            try:
                secret, lineage = await _prepare(db, path)
            except BaseException:
                await db.close()
                raise
        except sqlite3.Error as error:
            lock.release()
            raise StoreUnavailable(_why_unusable(path, error)) from error
        except BaseException:
            lock.release()
            raise
        return cls(db, lock, secret, lineage, path if threads else None)

    async def close(self) -> None:
        """Close the database."""
        await self._db.close()
        self._lock.release()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """All or nothing, on disk when the block has ended."""
        async with self._turn:
            with self._writing():
                await self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield Transaction(self._db)
                    await self._db.execute("COMMIT")
                    self.written.notify()
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        await asyncio.shield(self._db.rollback())
                    raise

    async def write(self, statement: str, values: Iterable[Values]) -> int:
        """One statement for many values, as a transaction of its own; how many rows it changed."""
        async with self._turn:
            with self._writing():
                # One visit to aiosqlite's thread instead of three: `_execute` calls a function
                # there, `_conn` is sqlite3's own connection.
                call = self._db._execute  # noqa: SLF001
                changed: int = await call(_write, self._db._conn, statement, list(values))  # type: ignore[no-untyped-call]  # noqa: SLF001
                self.written.notify()
                return changed

    async def work(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function with sqlite3's own connection, in a transaction and a single visit."""
        async with self._turn:
            with self._writing():
                before = self._db.total_changes
                call = self._db._execute  # noqa: SLF001 - as in `write`
                value: T = await call(_work, self._db._conn, action)  # type: ignore[no-untyped-call]  # noqa: SLF001
                if self._db.total_changes != before:
                    self.written.notify()
                return value

    async def read(
        self, statement: str, values: Values | Callable[[], Values] = ()
    ) -> list[sqlite3.Row]:
        """Rows of a query; values that a function makes are made when it is its turn."""
        async with self._turn:
            with _as_unavailable():
                made = values() if callable(values) else values
                return list(await self._db.execute_fetchall(statement, made))

    async def look(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function that only reads, beside the transactions.

        It has a thread and a connection of its own: who reads pages does not keep jobs waiting.
        """
        if self._aside is None:
            async with self._turn:
                with _as_unavailable():
                    call = self._db._execute  # noqa: SLF001 - as in `write`
                    found: T = await call(action, self._db._conn)  # type: ignore[no-untyped-call]  # noqa: SLF001
                    return found
        async with self._looking:  # one at a time: they share the processor with the jobs
            with _as_unavailable():
                return await asyncio.to_thread(_look, self._aside, action)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            with _as_unavailable():
                yield
        except StoreUnavailable:
            self.is_refused = True
            self.refused.notify()
            raise
        self.is_refused = False
        self.commits += 1
        self.commit_seconds += time.perf_counter() - begun

    async def checkpoint(self) -> None:
        """Write the log back into the file, in a thread, while transactions go on.

        One that fails is made up for by the next one, or by a commit.
        """
        if self._aside is not None:
            await asyncio.to_thread(_checkpoint, self._aside)


class Transaction:
    """What may be done within a transaction."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db = db

    async def run(self, statement: str, values: Values = ()) -> int:
        """One statement; how many rows it changed."""
        return (await self._db.execute(statement, values)).rowcount

    async def many(self, statement: str, values: Iterable[Values]) -> int:
        """One statement for many values; how many rows it changed."""
        return (await self._db.executemany(statement, values)).rowcount

    async def read(self, statement: str, values: Values = ()) -> list[sqlite3.Row]:
        """Rows of a query."""
        return list(await self._db.execute_fetchall(statement, values))


def _why_unusable(path: Path, error: sqlite3.Error) -> str:
    if isinstance(error, sqlite3.OperationalError):
        return f"database {path}: {error}; {_what_to_do(path)}"
    return (
        f"database {path} is damaged: {error}; put a copy back, recover it "
        f"(sqlite3 OLD .recover | sqlite3 NEW), or move it away: then what it kept is gone. "
        "What the broker has accepted since waits there"
    )


def _what_to_do(path: Path) -> str:
    if not os.access(path.parent, os.W_OK):
        return f"this user may not write in {path.parent}: change its owner, or name another --db"
    if path.exists() and not os.access(path, os.W_OK):
        return "this user may not write the file: change its owner, or name another --db"
    return "check the file, and the room on its disk"


async def _prepare(db: aiosqlite.Connection, path: Path) -> tuple[bytes, str]:
    """The secret of its tokens, and its lineage."""
    await _check_is_ours(db, path)
    for pragma in (*sql.OPEN, *sql.log_of(_log_limit(path))):
        await db.execute(pragma)
    version = number = next(iter(await db.execute_fetchall("PRAGMA user_version")))[0]
    for number, script in enumerate(migrations_from(version, str(path)), version + 1):
        await db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
    if version != number:
        made = "made" if version == 0 else f"upgraded from schema version {version}"
        log.info("database %s: %s, now version %d", path, made, number)
    [(secret,)] = await db.execute_fetchall(sql.TOKENS)
    [(lineage,)] = await db.execute_fetchall(sql_epoch.LINEAGE)
    return bytes(secret), str(lineage)


async def _check_is_ours(db: aiosqlite.Connection, path: Path) -> None:
    """Before anything is written: the broker keeps its messages in a file of SQLite, too."""
    tables = {str(name) for (name,) in await db.execute_fetchall(sql.TABLES)}
    if tables:
        refuse_foreign(tables, path)


def _log_limit(path: Path) -> int:
    """Bytes of the log after which a commit writes it back: a part of the disk."""
    found = os.statvfs(path.parent)
    return min(max(found.f_blocks * found.f_frsize // 16, _LOG_AT_LEAST), _LOG_AT_MOST)


def _checkpoint(path: Path) -> None:
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(sql.CHECKPOINT)


def _look(path: Path, action: Callable[[sqlite3.Connection], T]) -> T:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
        return action(db)


def _write(db: sqlite3.Connection, statement: str, values: list[Values]) -> int:
    return _work(db, lambda db: db.executemany(statement, values).rowcount)


def _work(db: sqlite3.Connection, action: Callable[[sqlite3.Connection], T]) -> T:
    db.execute("BEGIN IMMEDIATE")
    try:
        value = action(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.rollback()
        raise
    return value


@contextlib.contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"the database cannot be used now: {error}") from error
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError):
        raise  # our own fault: another try would not help
    except sqlite3.DatabaseError as error:  # SQLITE_CORRUPT, SQLITE_NOTADB
        raise StoreUnavailable(
            f"the database is damaged: {error}; stop the scheduler and recover the file "
            "(sqlite3 OLD .recover | sqlite3 NEW)"
        ) from error
