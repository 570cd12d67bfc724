"""A lock that one process at a time holds, and that goes with the process, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from pathlib import Path

_OWNER_ONLY = 0o600


class ProcessLock:
    """A lock on a file, which is made where it is missing and holds the owner's process id.

    Args:
        path: of the file.
        beside: a file whose users share the lock: who may read and write that one may take it.
            None: only the user that makes it.
    """

    def __init__(self, path: Path, *, beside: Path | None = None) -> None:
        self.path = path
        self._beside = beside
        self._file: int | None = None

    def take(self) -> bool:
        """Take it if it is free; whether it is ours. Never waits.

        One whose file was deleted or replaced is lost: another process may hold the new one.

        Raises:
            OSError: the file cannot be made or opened.
        """
        if self.is_ours():
            return True
        self.release()
        file = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        if not self._is_in_place(file):  # deleted between the two: what we locked is gone
            os.close(file)
            return False
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        self._file = file
        _held.add(self)
        return True

    def _open(self) -> int:
        # Not O_CREAT at once: in a folder like /tmp Linux refuses that for a file of another user.
        with contextlib.suppress(FileNotFoundError):
            return self._share(os.open(self.path, os.O_RDWR | os.O_CLOEXEC))
        made = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
        return self._share(made)

    def _share(self, file: int) -> int:
        """Let those have the lock who may write the file beside it, as SQLite does with its log.

        Who may only read that file gets nothing: a lock that can be opened can be taken.
        """
        if self._beside is None:
            return file
        with contextlib.suppress(OSError):  # of another user, who has done so; or none beside it
            like, own = self._beside.stat(), os.fstat(file)
            if os.geteuid() == 0 and (like.st_uid, like.st_gid) != (own.st_uid, own.st_gid):
                os.fchown(file, like.st_uid, like.st_gid)
            mode = sum(0o6 << shift for shift in (0, 3, 6) if like.st_mode & 0o2 << shift)
            if stat.S_IMODE(own.st_mode) != mode:
                os.fchmod(file, mode)
        return file

    def _is_in_place(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path.stat())
        except OSError:
            return False

    def is_ours(self) -> bool:
        """Whether we took it, and its file is still the one that others would lock."""
        return self._file is not None and self._is_in_place(self._file)

    def holder(self) -> str | None:
        """The process id of its owner, or the last one; None: it never had one."""
        try:
            return self.path.read_text(errors="replace").strip() or None
        except OSError:
            return None

    def is_held(self) -> bool:
        """Whether some process has it now."""
        if self.is_ours():
            return True
        try:
            taken = self.path.exists() and not self.take()
        except OSError:
            return False
        self.release()
        return taken

    def release(self) -> None:
        """Let others have it. Idempotent."""
        file, self._file = self._file, None
        _held.discard(self)
        if file is not None:
            os.close(file)


_held: WeakSet[ProcessLock] = WeakSet()


def _after_fork() -> None:
    """A child that kept the file open would keep the lock when its parent dies."""
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_after_fork)
