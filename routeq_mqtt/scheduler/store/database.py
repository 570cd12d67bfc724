"""The scheduler's database, of whichever kind. One `transaction` at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, TypeVar

from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.store.engines.lockers import locker_of
from routeq_mqtt.scheduler.store.engines.postgres.url import PostgresUrl
from routeq_mqtt.scheduler.store.engines.sqlite import SqliteEngine, connect
from routeq_mqtt.scheduler.store.lock import DatabaseHeld, FileLock
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from pathlib import Path

    from routeq_mqtt.scheduler.store.engines.engine import (
        Columns,
        Engine,
        Held,
        SyncConnection,
        Values,
    )
    from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
    from routeq_mqtt.scheduler.store.engines.sqlite import Connect

T = TypeVar("T")


class Database:
    """What the stores share: one connection, one transaction at a time.

    Every method raises `StoreUnavailable` when the database cannot be written or read; then it is
    as it was before the call, and usable as soon as the cause is gone.

    Attributes:
        written: fires after each commit.
        tokens: of its rows.
        lineage: what it has in common with its copies only.
        refused: fires after each commit that the disk did not take.
        is_refused: the last write was refused.
        commits, commit_seconds: how many transactions there were, and how long they took in all.
    """

    def __init__(self, engine: Engine) -> None:
        self.written: Notifier = Notifier()
        self.tokens: Tokens = Tokens(engine.secrets.tokens)
        self.lineage: str = engine.secrets.lineage
        self.refused: Notifier = Notifier()
        self.is_refused: bool = False
        self.commits: int = 0
        self.commit_seconds: float = 0.0
        self._engine = engine
        self._turn = asyncio.Lock()
        self._looking = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        path: DatabasePlace,
        *,
        connect: Connect = connect,
        lock_file: Callable[[Path], FileLock] = FileLock,
        held: Held | None = None,
        threads: bool = True,
    ) -> Database:
        """Open a database, and make it where it is missing.

        Args:
            path: the SQLite file, or the schema in PostgreSQL.
            connect: opens it; a simulation opens it without a thread.
            lock_file: locks it against other processes.
            held: its lock, where we have it already; released if this fails.
            threads: whether `checkpoint` may use one; else it does nothing.

        Raises:
            ConfigurationError: it is of a later version or another program, another process holds
                it, or the folder cannot be written to.
        """
        if isinstance(path, PostgresUrl):
            return cls(await _open_postgres(path, held))
        lock = held or lock_file(path)
        return cls(await SqliteEngine.open(path, lock, connect, threads=threads))

    async def close(self) -> None:
        """Close the database."""
        await self._engine.close()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """All or nothing, on disk when the block has ended."""
        async with self._turn:
            with self._writing():
                await self._engine.begin()
                try:
                    yield Transaction(self._engine)
                    await self._engine.end()
                    self.written.notify()
                except BaseException:
                    await self._engine.undo()
                    raise

    async def write(self, statement: str, values: Iterable[Values]) -> int:
        """One statement for many values, as a transaction of its own; how many rows it changed."""
        async with self._turn:
            with self._writing():
                changed = await self._engine.write(statement, list(values))
                self.written.notify()
                return changed

    async def work(self, action: Callable[[SyncConnection], T]) -> T:
        """Call a function with the thread's own connection, in a transaction and a single visit."""
        async with self._turn:
            with self._writing():
                value, is_changed = await self._engine.work(action)
                if is_changed:
                    self.written.notify()
                return value

    async def read(
        self, statement: str, values: Values | Callable[[], Values] = ()
    ) -> list[Columns]:
        """Rows of a query; values that a function makes are made when it is its turn."""
        async with self._turn:
            with self._engine.errors():
                return await self._engine.read(statement, values() if callable(values) else values)

    async def look(self, action: Callable[[SyncConnection], T]) -> T:
        """Call a function that only reads, beside the transactions.

        It has a thread and a connection of its own: who reads pages does not keep jobs waiting.
        """
        # One at a time: they share the processor with the jobs.
        async with self._looking if self._engine.is_beside else self._turn:
            with self._engine.errors():
                return await self._engine.look(action)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            with self._engine.errors():
                yield
        except StoreUnavailable:
            self.is_refused = True
            self.refused.notify()
            raise
        self.is_refused = False
        self.commits += 1
        self.commit_seconds += time.perf_counter() - begun

    async def checkpoint(self) -> None:
        """Keep its log short, while transactions go on; see the engine."""
        await self._engine.checkpoint()


async def _open_postgres(url: PostgresUrl, held: Held | None) -> Engine:
    locker = locker_of(url)
    try:
        lease = held or await locker.take()
    finally:
        await locker.aclose()
    if lease is None:
        raise DatabaseHeld(f"--db={url}: another scheduler has it, or its server is away")
    from routeq_mqtt.scheduler.store.engines.postgres.engine import PostgresEngine
    from routeq_mqtt.scheduler.store.engines.postgres.lease import Lease

    assert isinstance(lease, Lease)  # noqa: S101 - the lock of such a place
    return await PostgresEngine.open(lease)


class Transaction:
    """What may be done within a transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run(self, statement: str, values: Values = ()) -> int:
        """One statement; how many rows it changed."""
        return await self._engine.run(statement, values)

    async def many(self, statement: str, values: Iterable[Values]) -> int:
        """One statement for many values; how many rows it changed."""
        return await self._engine.many(statement, values)

    async def read(self, statement: str, values: Values = ()) -> list[Columns]:
        """Rows of a query."""
        return await self._engine.read(statement, values)
