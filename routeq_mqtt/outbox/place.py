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
    from collections.abc import Iterable, Iterator

_BESIDE = ("-wal", "-shm")

_abandoned: list[sqlite3.Connection] = []

_Inode = tuple[int, int] | None


class Place:
    """Which files a path led to when a connection was opened.

    Args:
        path: of the SQLite file, or a symbolic link to it.

    Attributes:
        real: the file, without links: beside it SQLite keeps its log.
        inodes: of the file, its log and its index.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.real: Path = real(path)
        self.inodes: tuple[_Inode, ...] = self._now()

    def _now(self) -> tuple[_Inode, ...]:
        return (_inode(self._path), *(_inode(f"{self.real}{ending}") for ending in _BESIDE))

    def is_kept(self) -> bool:
        """Whether the path still leads to the same file, log and index."""
        now = self._now()
        if now == self.inodes:
            return True
        return all(was in (None, is_) for was, is_ in zip(self.inodes, now, strict=True))

    def has_its_file(self) -> bool:
        """Whether the path leads to the same file, whatever is beside it."""
        return self.inodes[0] == _inode(self._path)

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

    def free(self, others: Iterable[Place]) -> None:
        """Give back the room of a log that was deleted while a connection has it open.

        That connection must not be used any more; see `abandon`. A process that lives long, and
        whose outbox is deleted again and again, would fill a small disk with them. The file itself
        stays open: SQLite knows it by its inode, and would take for it the next file that gets
        the same one, with the locks of this connection.

        Args:
            others: of connections that are still used: what they share stays.
        """
        used = {inode for other in others for inode in other.inodes}
        gone = {inode for inode in self.inodes[1:] if inode is not None} - used
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            for number in _open_files():
                with contextlib.suppress(OSError):
                    found = os.fstat(number)
                    if not found.st_nlink and (found.st_dev, found.st_ino) in gone:
                        os.dup2(null, number, inheritable=False)
        finally:
            os.close(null)

    def _clear(self) -> None:
        for ending, was in zip(_BESIDE, self.inodes[1:], strict=True):
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


def _open_files() -> list[int]:
    """The numbers of this process's open files; none where the system does not tell."""
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
    except OSError:
        return []


def _inode(path: Path | str) -> _Inode:
    try:
        found = os.stat(path)  # noqa: PTH116 - with each call
    except OSError:
        return None
    return found.st_dev, found.st_ino
