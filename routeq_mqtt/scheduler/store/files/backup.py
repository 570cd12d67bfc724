"""A copy of a scheduler's database while the scheduler runs: SQLite's online backup."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.processlock import ProcessLock
from routeq_mqtt.scheduler.store.files.ours import read_file
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.sql import epoch as sql_epoch

if TYPE_CHECKING:
    from collections.abc import Callable

_STEPS = 50
"""Parts in which it is copied; the progress is reported after each."""

_LEAST = 256
"""Pages of a part at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupDone:
    """A backup that is complete and on disk.

    Attributes:
        source, to: the files.
        bytes: its size.
        epoch: of the database at that moment.
    """

    source: str
    to: str
    bytes: int
    epoch: int

    def as_dict(self) -> dict[str, Any]:
        """As a plain map."""
        return asdict(self)


def back_up(source: Path, to: Path, progress: Callable[[int, int], None]) -> BackupDone:
    """Copy a database as it is at one moment, whatever a scheduler commits meanwhile.

    It holds a read transaction: commits go on, and SQLite's log grows until the copy is complete.
    The file gets its name when it is complete and on disk, so that an earlier backup of this name
    is there until then. Only its owner may read it.

    Args:
        source: the SQLite file.
        to: where to; a backup that is there is replaced.
        progress: called with pages copied, and pages in all.

    Raises:
        ConfigurationError: `source` is not a database of a scheduler, `to` is something else than
            a backup, or its folder cannot be written to.
        StoreUnavailable: the copy failed, for example because the disk is full.
    """
    _check_target(source, to)
    part = to.with_name(f"{to.name}.part")
    try:
        epoch = read_file(source, lambda db: _copy(db, part, progress))
        _sync(part)
        for left in ("-wal", "-shm"):  # of an earlier backup that was opened: they would not fit
            Path(f"{to}{left}").unlink(missing_ok=True)
        part.replace(to)
    except (sqlite3.Error, OSError) as error:
        part.unlink(missing_ok=True)
        raise StoreUnavailable(f"{source} could not be copied to {to}: {error}") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # not every file system can sync a folder
        _sync(to.parent)
    return BackupDone(source=str(source), to=str(to), bytes=to.stat().st_size, epoch=epoch)


def _copy(db: sqlite3.Connection, part: Path, progress: Callable[[int, int], None]) -> int:
    """Copy the present moment of a database; its epoch then."""
    _make_empty(part)
    db.execute("BEGIN")
    row = db.execute(sql_epoch.READ).fetchone()  # here the moment begins
    [(pages,)] = db.execute("PRAGMA page_count")
    with closing(sqlite3.connect(part)) as copy:
        db.backup(
            copy,
            pages=max(_LEAST, pages // _STEPS),
            progress=lambda _, left, total: progress(total - left, total),
        )
    return 0 if row is None else int(row[0])


def _check_target(source: Path, to: Path) -> None:
    if to.is_dir():
        raise ConfigurationError(f"{to} is a folder; name the file: {to / source.name}")
    if not to.parent.is_dir():
        raise ConfigurationError(f"{to}: there is no folder {str(to.parent)!r}; make it first")
    if not to.exists():
        return
    if source.exists() and to.samefile(source):
        raise ConfigurationError(f"{to} is the database itself; name another file")
    if ProcessLock(Path(f"{to}.lock")).is_held():
        raise ConfigurationError(f"{to} is in use by a scheduler; name another file")
    try:
        read_file(to, lambda db: None)
    except ConfigurationError:
        raise ConfigurationError(
            f"{to} is there, and is not a backup of a scheduler's database; name another file"
        ) from None


def _make_empty(path: Path) -> None:
    """What jobs were given is in it: only its owner may read it."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigurationError(
            f"{path.parent}: this user may not write there: {error.strerror}"
        ) from None


def _sync(path: Path) -> None:
    """Until a loss of power cannot undo it."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
