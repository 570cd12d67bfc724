"""The SQLite file: opened, brought to this version, read whole, and written batch by batch.

All of it runs in one thread of the journal's, so that a slow disk blocks no connection.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from routeq_broker.errors import StoreBroken
from routeq_broker.storage import sql

if TYPE_CHECKING:
    from pathlib import Path

Row = tuple[Any, ...]

_LOG_AT_LEAST, _LOG_AT_MOST = 256 * 1024, 4 * 1024 * 1024


@dataclass(slots=True)
class Batch:
    """One transaction: rows of entries to save, numbers to delete, and other statements."""

    saved: list[Row] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    writes: list[tuple[str, Row]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.saved or self.deleted or self.writes)


@dataclass(slots=True)
class Rows:
    """Everything that a database had when it was opened."""

    entries: list[Row]
    sessions: list[Row]
    subscriptions: list[Row]
    retained: list[Row]
    received: list[Row]


class Database:
    """The broker's SQLite file.

    Args:
        path: of the file; it is made where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def open(self) -> Rows:
        """Open the file and read it.

        Raises:
            StoreBroken: it cannot be used, or is of a later version.
        """
        try:
            db = self._connect()
            return Rows(
                *(
                    db.execute(statement).fetchall()
                    for statement in (
                        sql.ENTRIES, sql.SESSIONS, sql.SUBSCRIPTIONS, sql.RETAINED, sql.RECEIVED,
                    )
                )
            )  # fmt: skip
        except sqlite3.Error as error:
            self.close()
            raise StoreBroken(f"database {self._path}: {error}") from error

    def write(self, batch: Batch) -> None:
        """Write a batch as one transaction, durably; a second call with it does no harm.

        Raises:
            sqlite3.Error: it is not written; the next call opens the file anew.
        """
        try:
            db = self._connect()
            db.execute("BEGIN IMMEDIATE")
            if batch.saved:
                db.executemany(sql.SAVE_ENTRY, batch.saved)
            if batch.deleted:
                db.executemany(sql.DELETE_ENTRY, [(number,) for number in batch.deleted])
            for statement, values in batch.writes:
                db.execute(statement, values)
            db.execute("COMMIT")
        except sqlite3.Error:
            self._make_room()
            self.close()  # the file may have been replaced meanwhile
            raise

    def _make_room(self) -> None:
        """After a failure: what SQLite's log takes can be used again."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.rollback()
                self._db.execute(sql.CHECKPOINT).fetchall()

    def close(self) -> None:
        """Close the file."""
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _connect(self) -> sqlite3.Connection:
        if self._db is None:
            db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(db)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > sql.VERSION:
            raise StoreBroken(
                f"database {self._path} is of schema version {version}, this broker knows up to "
                f"{sql.VERSION}: upgrade routeq-broker, or name another file with --db"
            )
        for pragma in (*sql.OPEN, *sql.log_of(_log_limit(self._path))):
            db.execute(pragma)
        while version < sql.VERSION:
            db.executescript(sql.UPGRADES[version])
            version = db.execute("PRAGMA user_version").fetchone()[0]


def _log_limit(path: Path) -> int:
    """Bytes of SQLite's log after which it is written back: a part of the disk."""
    size = shutil.disk_usage(path.parent).total
    return min(max(size // 16, _LOG_AT_LEAST), _LOG_AT_MOST)
