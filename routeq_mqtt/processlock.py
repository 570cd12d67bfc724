"""A lock that one process at a time holds, and that goes with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from pathlib import Path


class ProcessLock:
    """A lock on a file, which is made where it is missing and holds the owner's process id.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def take(self) -> bool:
        """Take it, if nobody has it; whether it is ours. Never waits.

        Raises:
            OSError: the file cannot be made.
        """
        if self._file is not None:
            return True
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        self._file = file
        _held.add(self)
        return True

    def holder(self) -> str | None:
        """The process id of whoever has it, or had it last; None: nobody ever did."""
        try:
            return self.path.read_text(errors="replace").strip() or None
        except OSError:
            return None

    def is_held(self) -> bool:
        """Whether some process has it now."""
        if self._file is not None:
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
