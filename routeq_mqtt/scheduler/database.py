"""The scheduler's SQLite: the one home of aiosqlite. One `transaction` at a time."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiosqlite

from routeq_mqtt.scheduler import sql
from routeq_mqtt.scheduler.lock import FileLock
from routeq_mqtt.scheduler.rows import StoreUnavailable
from routeq_mqtt.scheduler.schema import migrations_from
from routeq_mqtt.signal import Signal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path

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
    """

    def __init__(self, db: aiosqlite.Connection, lock: FileLock, aside: Path | None = None) -> None:
        self.written = Signal()
        self._db = db
        self._lock = lock
        self._aside = aside
        self._turn = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        connect: Connect = connect,
        lock_file: Callable[[Path], FileLock] = FileLock,
        threads: bool = True,
    ) -> Database:
        """Open a database, and make it where it is missing.

        Args:
            path: the SQLite file.
            connect: opens it; a simulation opens it without a thread.
            lock_file: locks it against other processes.
            threads: whether `checkpoint` may use one; else it does nothing.

        Raises:
            ConfigurationError: it is of a later version, another process holds it, or the folder
                cannot be written to.
        """
        lock = lock_file(path)
        try:
            db = await connect(path)
            try:
                await _prepare(db, path)
            except BaseException:
                await db.close()
                raise
        except sqlite3.Error as error:
            lock.release()
            raise StoreUnavailable(_why_unusable(path, error)) from error
        except BaseException:
            lock.release()
            raise
        return cls(db, lock, path if threads else None)

    async def close(self) -> None:
        """Close the database."""
        await self._db.close()
        self._lock.release()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """All or nothing, on disk when the block has ended."""
        async with self._turn:
            with _as_unavailable():
                await self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield Transaction(self._db)
                    await self._db.execute("COMMIT")
                    self.written.fire()
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        await asyncio.shield(self._db.rollback())
                    raise

    async def write(self, statement: str, values: Iterable[Values]) -> int:
        """One statement for many values, as a transaction of its own; how many rows it changed."""
        async with self._turn:
            with _as_unavailable():
                # One visit to aiosqlite's thread instead of three: `_execute` calls a function
                # there, `_conn` is sqlite3's own connection.
                call = self._db._execute  # noqa: SLF001
                changed: int = await call(_write, self._db._conn, statement, list(values))  # type: ignore[no-untyped-call]  # noqa: SLF001
                self.written.fire()
                return changed

    async def read(
        self, statement: str, values: Values | Callable[[], Values] = ()
    ) -> list[sqlite3.Row]:
        """Rows of a query; values that a function makes are made when it is its turn."""
        async with self._turn:
            with _as_unavailable():
                made = values() if callable(values) else values
                return list(await self._db.execute_fetchall(statement, made))

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
        return f"database {path}: {error}"
    return (
        f"database {path} is damaged: {error}; put a copy back, recover it "
        f"(sqlite3 OLD .recover | sqlite3 NEW), or move it away: then what it kept is gone. "
        "What the broker has accepted since waits there"
    )


async def _prepare(db: aiosqlite.Connection, path: Path) -> None:
    for pragma in sql.OPEN:
        await db.execute(pragma)
    version = next(iter(await db.execute_fetchall("PRAGMA user_version")))[0]
    for number, script in enumerate(migrations_from(version, str(path)), version + 1):
        await db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")


def _checkpoint(path: Path) -> None:
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(sql.CHECKPOINT)


def _write(db: sqlite3.Connection, statement: str, values: list[Values]) -> int:
    db.execute("BEGIN IMMEDIATE")
    try:
        changed = db.executemany(statement, values).rowcount
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.rollback()
        raise
    return changed


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
