"""SQLite as an engine: the one home of aiosqlite."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import aiosqlite

from routeq_mqtt.scheduler.store.engines.engine import Columns, Engine, Held, Secrets, Values
from routeq_mqtt.scheduler.store.files.ours import refuse_foreign
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.schema.schema import migrations_from
from routeq_mqtt.scheduler.store.sql import epoch as sql_epoch
from routeq_mqtt.scheduler.store.sql import jobs as sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection

log: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

_LOG_AT_LEAST, _LOG_AT_MOST = 256 * 1024, 64 * 1024 * 1024

Connect = Callable[["Path"], Awaitable[aiosqlite.Connection]]


async def connect(path: Path) -> aiosqlite.Connection:
    """A connection with a thread of its own; none where the file cannot be opened."""
    sqlite3.connect(path).close()
    return await aiosqlite.connect(path, isolation_level=None)


class SqliteEngine(Engine):
    """One connection in a thread of its own.

    Args:
        db: the connection.
        lock: of the file; released with it.
        secrets: see there.
        aside: the file, where threads may be used to read it and to write its log back.
    """

    def __init__(
        self, db: aiosqlite.Connection, lock: Held, secrets: Secrets, aside: Path | None
    ) -> None:
        self.secrets = secrets
        self._db = db
        self._lock = lock
        self._aside = aside

    @classmethod
    async def open(cls, path: Path, lock: Held, connect: Connect, *, threads: bool) -> SqliteEngine:
        """Open a file, and make it where it is missing; `lock` is released if that fails."""
        try:
            db = await connect(path)
            try:
                secrets = await _prepare(db, path)
            except BaseException:
                await db.close()
                raise
        except sqlite3.Error as error:
            lock.release()
            raise StoreUnavailable(_why_unusable(path, error)) from error
        except BaseException:
            lock.release()
            raise
        return cls(db, lock, secrets, path if threads else None)

    def errors(self) -> contextlib.AbstractContextManager[None]:  # noqa: D102 - as `Engine`
        return _as_unavailable()

    async def begin(self) -> None:  # noqa: D102
        await self._db.execute("BEGIN IMMEDIATE")

    async def end(self) -> None:  # noqa: D102
        await self._db.execute("COMMIT")

    async def undo(self) -> None:  # noqa: D102
        with contextlib.suppress(sqlite3.Error):
            await asyncio.shield(self._db.rollback())

    async def run(self, statement: str, values: Values) -> int:  # noqa: D102
        return (await self._db.execute(statement, values)).rowcount

    async def many(self, statement: str, values: Iterable[Values]) -> int:  # noqa: D102
        return (await self._db.executemany(statement, values)).rowcount

    async def read(self, statement: str, values: Values) -> list[Columns]:  # noqa: D102
        return list(await self._db.execute_fetchall(statement, values))

    async def write(self, statement: str, values: list[Values]) -> int:  # noqa: D102
        # One visit to aiosqlite's thread instead of three: `_execute` calls a function there,
        # `_conn` is sqlite3's own connection.
        call = self._db._execute  # noqa: SLF001
        changed: int = await call(_write, self._db._conn, statement, values)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return changed

    async def work(self, action: Callable[[SyncConnection], T]) -> tuple[T, bool]:  # noqa: D102
        before = self._db.total_changes
        call = self._db._execute  # noqa: SLF001 - as in `write`
        value: T = await call(_work, self._db._conn, action)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return value, self._db.total_changes != before

    async def look(self, action: Callable[[SyncConnection], T]) -> T:  # noqa: D102
        if self._aside is not None:
            return await asyncio.to_thread(_look, self._aside, action)
        call = self._db._execute  # noqa: SLF001 - as in `write`
        found: T = await call(action, self._db._conn)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return found

    @property
    def is_beside(self) -> bool:  # noqa: D102
        return self._aside is not None

    async def checkpoint(self) -> None:
        """Write the log back into the file, in a thread, while transactions go on.

        One that fails is made up for by the next one, or by a commit.
        """
        if self._aside is not None:
            await asyncio.to_thread(_checkpoint, self._aside)

    async def close(self) -> None:  # noqa: D102
        await self._db.close()
        self._lock.release()


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


async def _prepare(db: aiosqlite.Connection, path: Path) -> Secrets:
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
    return Secrets(bytes(secret), str(lineage))


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
