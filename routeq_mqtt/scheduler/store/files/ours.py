"""Whether a SQLite file is the database of a scheduler: broker and outbox have such files, too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from routeq_mqtt.errors import ConfigurationError, RouteqError
from routeq_mqtt.scheduler.store.sql import jobs as sql

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

T = TypeVar("T")

_OURS = {"jobs", "failed", "counts"}
_BROKERS = {"entries", "sessions", "retained"}
_OUTBOX = {"jobs", "aside"}


def refuse_foreign(tables: Collection[str], path: Path) -> None:
    """Return if these are tables of a scheduler.

    Args:
        tables: that the file has.
        path: of the file.

    Raises:
        ConfigurationError: they are of another program; names the one that it knows.
    """
    found = set(tables)
    if found >= _OURS:
        return
    known = {"the embedded broker": _BROKERS, "an outbox": _OUTBOX}
    owner = next((name for name, names in known.items() if names <= found), None)
    whose = f"it is that of {owner}" if owner else f"it has the tables {_some(found)}"
    raise ConfigurationError(
        f"database {path} is not one of the scheduler: {whose}; name another file with --db"
    )


def read_file(path: Path, action: Callable[[sqlite3.Connection], T]) -> T:
    """Call a function with a connection that only reads, beside a scheduler that may be running.

    Where no process has the file open, SQLite is told so, and leaves no log beside it. If one
    opens it meanwhile, the function is called again.

    Args:
        path: of the file.
        action: reads; may be called twice.

    Raises:
        ConfigurationError: there is no such file, it is not a database, or not one of a scheduler.
    """
    log = Path(f"{path}-wal")
    while True:
        is_idle = not log.exists()
        try:
            with closing(_open(path, is_idle=is_idle)) as db:
                found = action(db)
        except (sqlite3.Error, RouteqError):
            if is_idle and log.exists():
                continue
            raise
        if not is_idle or not log.exists():
            return found


def _open(path: Path, *, is_idle: bool) -> sqlite3.Connection:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "missing"
        raise ConfigurationError(f"--db={path} is {what}: name the file of a scheduler")
    way = "immutable=1" if is_idle else "mode=ro"
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?{way}", uri=True)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from None
    try:
        tables = [str(name) for (name,) in db.execute(sql.TABLES)]
        if not tables:
            raise ConfigurationError(f"--db={path} is empty: no scheduler has used it")
        refuse_foreign(tables, path)
    except sqlite3.Error as error:
        db.close()
        raise _unreadable(path, error) from None
    except BaseException:
        db.close()
        raise
    return db


def _unreadable(path: Path, error: sqlite3.Error) -> ConfigurationError:
    return ConfigurationError(
        f"--db={path} cannot be read as a database: {error}; check the file, and whether this "
        "user may read it and write in its folder"
    )


def _some(tables: set[str]) -> str:
    return ", ".join(sorted(tables)[:5])
