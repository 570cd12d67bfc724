"""Where a SQLite file is: the file itself, and the two that SQLite keeps beside it.

SQLite finds the log (``-wal``) and its index (``-shm``) by their names. Once the file has been
deleted, moved or replaced, these names lead to those of another file, or mix the two: so they go
out of the way first, and a connection to a file that has left its place is never closed, since
closing the last one deletes the log by its name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from routeq_mqtt.imports import first_import

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_BESIDE = ("-wal", "-shm")

_abandoned: list[sqlite3.Connection] = []

_Inode = tuple[int, int] | None


class Place:
    """Which files a path led to when a connection was opened.

    Args:
        path: of the SQLite file, or a symbolic link to it.

    Attributes:
        real: the file, without links: beside it SQLite keeps its log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.real: Path = real(path)
        self._then = self._now()

    def _now(self) -> tuple[_Inode, ...]:
        return (_inode(self._path), *(_inode(f"{self.real}{ending}") for ending in _BESIDE))

    def is_kept(self) -> bool:
        """Whether the path still leads to the same file, log and index."""
        now = self._now()
        if now == self._then:
            return True
        return all(was in (None, is_) for was, is_ in zip(self._then, now, strict=True))

    def has_its_file(self) -> bool:
        """Whether the path leads to the same file, whatever is beside it."""
        return self._then[0] == _inode(self._path)

    def clear(self) -> None:
        """Take log and index of this file out of the way of the next one."""
        with alone_in(self.real.parent):
            self._clear()

    def give_to(self, other: Path) -> None:
        """Let another file, which is complete and closed, take this one's place."""
        with alone_in(self.real.parent):
            if self.has_its_file():
                self._clear()
                other.replace(self.real)

    def _clear(self) -> None:
        for ending, was in zip(_BESIDE, self._then[1:], strict=True):
            name = f"{self.real}{ending}"
            if was is not None and _inode(name) == was:
                os.unlink(name)  # noqa: PTH108


def real(path: Path) -> Path:
    """Where a path leads to, symbolic links followed; also where nothing is yet."""
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """One process at a time makes or replaces files in a folder."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a file system without locks: as good as it gets
            held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, held)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def make(path: Path) -> None:
    """Make a file where there is none, for those whom the umask lets write it: SQLite does not.

    It has no log yet: what lies there belonged to one that was deleted.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        if path.stat().st_size:
            return
    for ending in _BESIDE:
        with contextlib.suppress(OSError):
            os.unlink(f"{path}{ending}")  # noqa: PTH108


def abandon(db: sqlite3.Connection) -> None:
    """Keep a connection open for ever, also beyond the end of the interpreter."""
    _abandoned.append(db)
    with contextlib.suppress(ImportError):
        with first_import():
            import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(db))


def _inode(path: Path | str) -> _Inode:
    try:
        found = os.stat(path)  # noqa: PTH116 - with each call
    except OSError:
        return None
    return found.st_dev, found.st_ino
