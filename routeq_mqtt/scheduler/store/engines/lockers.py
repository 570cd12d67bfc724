"""Who may open a database: at most one scheduler has its lock, whichever kind it is of."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.scheduler.store.lock import FileLock

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.store.engines.engine import Held
    from routeq_mqtt.scheduler.store.engines.postgres.lease import Lease, Taker
    from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace, PostgresUrl


class Locker(Protocol):
    """Tries to take the lock of one database."""

    async def take(self) -> Held | None:
        """The lock; None: another scheduler has it, or it cannot be asked for now.

        Raises:
            ConfigurationError: it can never be taken.
        """
        ...

    async def aclose(self) -> None:
        """Try no more."""
        ...


class FileLocker(Locker):
    """Of a file of SQLite."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def take(self) -> FileLock | None:  # noqa: D102 - as `Locker`
        return FileLock.if_free(self._path)

    async def aclose(self) -> None:  # noqa: D102
        pass


class LeaseLocker(Locker):
    """Of a schema in PostgreSQL, in a thread of its own."""

    def __init__(self, url: PostgresUrl) -> None:
        self._taker = taker_of(url)
        self._thread = ThreadPoolExecutor(1, "routeq-standby")

    async def take(self) -> Held | None:  # noqa: D102 - as `Locker`
        asked = self._thread.submit(self._taker.take)
        try:
            return await asyncio.shield(asyncio.wrap_future(asked))
        except asyncio.CancelledError:
            asked.add_done_callback(_give_back)
            raise

    async def aclose(self) -> None:  # noqa: D102
        self._thread.submit(self._taker.close)
        self._thread.shutdown(wait=False)


def _give_back(asked: Future[Lease | None]) -> None:
    """Release what came too late, in the thread that took it."""
    if not asked.cancelled() and asked.exception() is None:
        held = asked.result()
        if held is not None:
            held.release()


def locker_of(db: DatabasePlace) -> Locker:
    """What takes the lock of a database.

    Raises:
        ConfigurationError: its driver is not installed.
    """
    return FileLocker(db) if isinstance(db, Path) else LeaseLocker(db)


def taker_of(url: PostgresUrl) -> Taker:
    """What takes the lease of a schema.

    Raises:
        ConfigurationError: psycopg is not installed.
    """
    try:
        from routeq_mqtt.scheduler.store.engines.postgres.lease import Taker
    except ImportError as error:
        raise ConfigurationError(
            f"--db={url} needs psycopg: install routeq-mqtt[postgres] ({error})"
        ) from None
    return Taker(url)
