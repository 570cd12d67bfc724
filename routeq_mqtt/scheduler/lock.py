"""One process at a time may hold a database: a lock that dies with the process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from routeq_mqtt.errors import ConfigurationError


class FileLock:
    """Held from `__init__` to `release`, or until the process ends.

    Args:
        path: of the database; the lock is a file beside it.

    Raises:
        ConfigurationError: another process holds it, or the folder cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        beside = Path(f"{path}.lock")
        try:
            self._file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"--db={path}: cannot write there: {error}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 20).decode(errors="replace").strip()
            os.close(self._file)
            raise ConfigurationError(
                f"--db={path}: process {holder} holds this database; one scheduler for each file"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._file)
