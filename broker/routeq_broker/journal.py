"""Group commits: everything that one turn of the loop brings is one transaction.

An answer that promises safety (a PUBACK) is sent by a callback after the commit. What came and went
between two commits is never written at all.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import aiosqlite

from routeq_broker import sql
from routeq_broker.entry import Entry
from routeq_broker.errors import StoreBroken

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_TRY_AGAIN = 1.0

Answer = Callable[[], None]


class Journal(Protocol):
    """Where the broker writes what must outlive it."""

    def save(self, entry: Entry) -> None:
        """Keep a message, or what has changed of it."""
        ...

    def forget(self, entry: Entry) -> None:
        """A message was acknowledged."""
        ...

    def write(self, statement: str, *values: object) -> None:
        """Anything else: sessions, subscriptions, retained messages."""
        ...

    def then(self, answer: Answer) -> None:
        """Call back once everything that was said before is safe."""
        ...


class NoJournal:
    """Without a database: safe means in memory."""

    def save(self, entry: Entry) -> None:
        """Nothing to do."""

    def forget(self, entry: Entry) -> None:
        """Nothing to do."""

    def write(self, statement: str, *values: object) -> None:
        """Nothing to do."""

    def then(self, answer: Answer) -> None:
        """At once."""
        answer()


class SqliteJournal:
    """A database.

    Args:
        db: open, its schema made.
    """

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db = db
        self._changed: dict[int, Entry] = {}
        self._gone: list[int] = []
        self._writes: list[tuple[str, tuple[Any, ...]]] = []
        self._answers: list[Answer] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self._task = asyncio.create_task(self._run(), name="broker-journal")

    @classmethod
    async def open(cls, path: Path) -> tuple[SqliteJournal, Loaded]:
        """Open a database, and read what it has.

        Raises:
            StoreBroken: it cannot be used, or is of a later version.
        """
        try:
            # A file that cannot be opened fails here, before there is a thread that outlives us.
            sqlite3.connect(path).close()
            db = await aiosqlite.connect(path, isolation_level=None)
            version = next(iter(await db.execute_fetchall("PRAGMA user_version")))[0]
            if version > sql.VERSION:
                await db.close()
                raise StoreBroken(
                    f"database {path} is of schema version {version}, this broker knows up to "
                    f"{sql.VERSION}: upgrade routeq-broker, or name another file with --db"
                )
            for pragma in sql.OPEN:
                await db.execute(pragma)
            if version == 0:
                await db.executescript(sql.SCHEMA)
            elif version == 1:
                await db.executescript(sql.FROM_VERSION_1)
            return cls(db), await Loaded.read(db)
        except sqlite3.Error as error:
            raise StoreBroken(f"database {path}: {error}") from error

    def save(self, entry: Entry) -> None:
        """Keep a message, or what has changed of it."""
        self._changed[entry.number] = entry
        self._wake.set()

    def forget(self, entry: Entry) -> None:
        """A message was acknowledged."""
        self._changed.pop(entry.number, None)
        if entry.saved:
            self._gone.append(entry.number)
            self._wake.set()

    def write(self, statement: str, *values: object) -> None:
        """Anything else."""
        self._writes.append((statement, values))
        self._wake.set()

    def then(self, answer: Answer) -> None:
        """Call back once everything that was said before is safe."""
        self._answers.append(answer)
        self._wake.set()

    async def close(self) -> None:
        """Commit the rest and close."""
        self._stopping = True
        self._wake.set()
        await self._task
        await self._db.close()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._commit()
            if self._stopping and not (self._changed or self._gone or self._writes):
                return

    async def _commit(self) -> None:
        changed, self._changed = self._changed, {}
        gone, self._gone = self._gone, []
        writes, self._writes = self._writes, []
        answers, self._answers = self._answers, []
        for entry in changed.values():
            entry.saved = True  # from here on only a DELETE unwrites it
        if changed or gone or writes:
            await self._store([_values(entry) for entry in changed.values()], gone, writes)
        for answer in answers:
            answer()

    async def _store(
        self,
        changed: list[tuple[Any, ...]],
        gone: list[int],
        writes: list[tuple[str, tuple[Any, ...]]],
    ) -> None:
        while True:
            try:
                await self._db.execute("BEGIN IMMEDIATE")
                if changed:
                    await self._db.executemany(sql.SAVE_ENTRY, changed)
                if gone:
                    await self._db.executemany(sql.DELETE_ENTRY, [(number,) for number in gone])
                for statement, values in writes:
                    await self._db.execute(statement, values)
                await self._db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                log.error("cannot commit, publishers wait: error=%s", error)
                await self._db.rollback()
                await asyncio.sleep(_TRY_AGAIN)
            else:
                return


def _values(entry: Entry) -> tuple[Any, ...]:
    share, queue = entry.group or (None, None)
    return (
        entry.number, entry.topic, entry.payload, share, queue, entry.owner, entry.mid, entry.dup,
    )  # fmt: skip


class Loaded:
    """What a database had when it was opened."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.sessions: list[tuple[str, int, str | None]] = []
        self.subscriptions: list[tuple[str, str, int]] = []
        self.retained: dict[str, bytes] = {}

    @classmethod
    async def read(cls, db: aiosqlite.Connection) -> Loaded:
        """Read all of it."""
        loaded = cls()
        for number, topic, payload, share, queue, owner, mid, dup in await db.execute_fetchall(
            sql.ENTRIES
        ):
            group = (share, queue) if share is not None else None
            loaded.entries.append(
                Entry(
                    number, topic, bytes(payload),
                    group=group, owner=owner, mid=mid, dup=bool(dup), saved=True,
                )
            )  # fmt: skip
        loaded.sessions = [
            (str(c), int(w), u) for c, w, u in await db.execute_fetchall(sql.SESSIONS)
        ]
        loaded.subscriptions = [
            (str(c), str(f), int(q)) for c, f, q in await db.execute_fetchall(sql.SUBSCRIPTIONS)
        ]
        loaded.retained = {str(t): bytes(p) for t, p in await db.execute_fetchall(sql.RETAINED)}
        return loaded
