"""What the simulated processes run on: a clock, sockets, SQLite without threads, and locks."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import aiosqlite

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.scheduler.store.lock import FileLock
from routeq_mqtt.testing.memory.broker import MemoryBroker
from routeq_mqtt.testing.memory.transport import MemoryConnection, MemoryTransport
from routeq_mqtt.transport.base import Connection, ConnectOptions, OnMessage
from routeq_mqtt.wire.envelopes.envelope import Envelope
from tests.model.loop import VirtualLoop

EPOCH = 1_700_000_000.0


class VirtualClock:
    """The loop's time; `skew` is how wrong the wall clock is."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew = 0.0

    def now(self) -> float:
        return EPOCH + self._loop.now + self.skew

    def monotonic(self) -> float:
        return self._loop.now


class InlineConnection(aiosqlite.Connection):
    """aiosqlite without its thread: each call is done between two turns of the loop."""

    delay: Callable[[], float]

    async def _connect(self) -> aiosqlite.Connection:
        self._connection = self._connector()
        return self

    def __await__(self) -> Any:
        return self._connect().__await__()

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(self.delay())
        if self._connection is None:
            raise ValueError("Connection closed")
        result = fn(*args, **kwargs)
        await asyncio.sleep(self.delay())
        return result

    async def close(self) -> None:
        self.drop()

    def drop(self) -> None:
        """The process is gone: SQLite rolls back what was not committed."""
        if self._connection is not None:
            # Not by `close` alone: cursors of frozen coroutines would keep the transaction open.
            self._connection.rollback()
            self._connection.close()
            self._connection = None


class Lock(FileLock):
    """A file lock that may be released twice: by the kernel, and by what is left of its owner."""

    held = True

    def release(self) -> None:
        if self.held:
            self.held = False
            super().release()


class Disk:
    """The database of one process, and its lock."""

    def __init__(self, delay: Callable[[], float]) -> None:
        self._delay = delay
        self._locks: list[Lock] = []
        self._connections: list[InlineConnection] = []

    def lock(self, path: Path) -> FileLock:
        lock = Lock(path)
        self._locks.append(lock)
        return lock

    async def connect(self, path: Path) -> aiosqlite.Connection:
        connection = InlineConnection(
            lambda: sqlite3.connect(path, isolation_level=None, timeout=0), 64
        )
        connection.delay = self._delay
        self._connections.append(connection)
        await connection
        return connection

    def crash(self) -> None:
        """The kernel takes everything back."""
        for connection in self._connections:
            connection.drop()
        for lock in self._locks:
            lock.release()


class Sockets(MemoryTransport):
    """The connections of one process.

    Attributes:
        unconfirmed: ids of jobs that were published on a connection which broke before the PUBACK.
    """

    def __init__(self, broker: MemoryBroker, rng: Random, unconfirmed: set[str]) -> None:
        super().__init__(broker)
        self._rng = rng
        self._unsure = unconfirmed
        self.connections: list[MemoryConnection] = []
        self.keep_alive: dict[str, int] = {}

    async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
        connection = await super().connect(options, on_message)
        assert isinstance(connection, Watched)
        self.connections = [c for c in self.connections if not c.lost.done()]
        self.connections.append(connection)
        self.keep_alive[options.client_id] = options.keep_alive
        return connection

    def make(self, options: ConnectOptions, on_message: OnMessage) -> MemoryConnection:
        connection = Watched(self, options, on_message, mqtt5=self.broker.options.mqtt5)
        connection.unconfirmed = self._unsure
        return connection

    def crash(self) -> None:
        """Of what was written some has left the machine."""
        for connection in self.connections:
            if not connection.lost.done():
                left = self._rng.randint(0, len(connection.wire.up))
                self.broker.sever(connection.wire, up=left)


class Watched(MemoryConnection):
    """Notes the jobs whose publisher cannot know whether they arrived."""

    unconfirmed: set[str]

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> asyncio.Future[int]:
        future = super().publish(topic, payload, qos=qos, retain=retain)
        if qos and not retain:
            future.add_done_callback(lambda done: self._note(done, payload))
        return future

    def _note(self, done: asyncio.Future[int], payload: bytes) -> None:
        if done.cancelled() or done.exception() is not None:
            try:
                self.unconfirmed.add(str(Envelope.decode(payload).id))
            except UnreadableMessage:
                return
