"""One process at a time may hold a database: a lock that dies with the process."""

from __future__ import annotations

from pathlib import Path

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.processlock import ProcessLock


class DatabaseHeld(ConfigurationError):
    """Another process holds the database."""


class FileLock:
    """Held from `__init__` to `release`, or until the process ends.

    Args:
        path: of the database; the lock is a file beside it.

    Raises:
        DatabaseHeld: another process holds it.
        ConfigurationError: the folder cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self._lock = ProcessLock(Path(f"{path}.lock"))
        try:
            taken = self._lock.take()
        except OSError as error:
            raise ConfigurationError(f"--db={path}: cannot write there: {error}") from None
        if not taken:
            raise DatabaseHeld(
                f"--db={path}: process {self._lock.holder()} holds this database; "
                "one scheduler for each file, others may wait for it with --standby"
            )

    @classmethod
    def if_free(cls, path: Path) -> FileLock | None:
        """The lock of a database; None: another process holds it. Raises as `__init__`."""
        try:
            return cls(path)
        except DatabaseHeld:
            return None

    def release(self) -> None:
        """Let others have it."""
        self._lock.release()
