"""A connection that comes back: connects, sets up, waits until it is lost, and does so again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionFailed, ConnectionLost
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.transport.backoff import backoff_delay, with_backoff

if TYPE_CHECKING:
    from routeq_mqtt.transport.base import Connection, ConnectOptions, Message, Transport

log: logging.Logger = logging.getLogger(__name__)

Deliver = Callable[["Connection", "Message"], None]
SetUp = Callable[["Connection"], Awaitable[None]]
Gate = Callable[[], Awaitable[None]]

_BRIEF = 0.5
"""Seconds: a connection that lived less was hardly one."""

_SOON = 1.0
"""Seconds between brief connections at most: the broker is there, and may mean us well again."""


class Link:
    """Keeps one client identifier connected, with exponential backoff and jitter.

    A connection that is lost is followed by the next one at once, unless the one before it was
    lost at once, too.

    Args:
        transport: makes the connections.
        options: how each of them introduces itself.
        deliver: gets every message with the connection that brought it.
        set_up: runs on each new connection before anybody else gets it; subscribes.
        gate: awaited before each attempt to connect.
        max_wait: seconds between attempts at most; default 5.
    """

    def __init__(
        self,
        transport: Transport,
        options: ConnectOptions,
        deliver: Deliver,
        *,
        set_up: SetUp,
        gate: Gate | None = None,
        max_wait: float = 5.0,
    ) -> None:
        self.options = options
        self.last_error: ConnectionFailed | None = None
        self._transport = transport
        self._deliver = deliver
        self._set_up = set_up
        self._gate = gate
        self._max_wait = max_wait
        self._ready: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._tasks = Tasks()

    @property
    def connection(self) -> Connection | None:
        """The live connection, or None while there is none."""
        ready = self._ready
        return ready.result() if ready.done() and not ready.cancelled() else None

    @property
    def trouble(self) -> ConnectionFailed | None:
        """Why there is no connection now, as far as that is known."""
        return None if self.connection is not None else self.last_error

    def start(self) -> None:
        """Begin to connect, and keep at it until `close`."""
        if not self._tasks:
            self._tasks.keep(self._keep_connected, f"link-{self.options.client_id}")

    @property
    def is_ours(self) -> bool:
        """Whether it lives in the running event loop: nothing of it can be awaited elsewhere."""
        return self._ready.get_loop() is asyncio.get_running_loop()

    async def ready(self) -> Connection:
        """Wait for a connection that is set up."""
        while True:
            connection = await asyncio.shield(self._ready)
            if not connection.lost.done():
                return connection
            await asyncio.sleep(0)

    async def close(self, *, end_session: bool = False) -> None:
        """Disconnect gracefully and stay away."""
        await self._tasks.close()
        connection = self.connection
        self._ready.cancel()
        if not self._ready.cancelled():
            # Whoever waits for `ready` from now on ends as those do who waited before.
            self._ready = asyncio.get_running_loop().create_future()
            self._ready.cancel()
        if connection is not None:
            await connection.close(end_session=end_session)

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        brief = 0
        lost_at: float | None = None
        while True:
            connection = await self._connect()
            since = loop.time()
            self._ready.set_result(connection)
            log.debug("connected client=%s mqtt5=%s", self.options.client_id, connection.mqtt5)
            if lost_at is not None:
                away = since - lost_at
                log.info("connected again after %.1f s client=%s", away, self.options.client_id)
            cause = await asyncio.shield(connection.lost)
            lost_at = loop.time()
            self._ready = loop.create_future()
            log.info("connection lost client=%s cause=%s", self.options.client_id, cause)
            brief = brief + 1 if loop.time() - since < _BRIEF else 0
            # One loss may be anything, and costs no time; a broker that ends us again and again is
            # not asked thousands of times a second.
            if brief > 1:
                await asyncio.sleep(backoff_delay(brief - 1, max_wait=min(_SOON, self._max_wait)))

    async def _connect(self) -> Connection:
        return await with_backoff(
            self._attempt, ConnectionFailed, max_wait=self._max_wait, note=self._note
        )

    def _note(self, error: BaseException, attempt: int) -> None:
        self.last_error = error if isinstance(error, ConnectionFailed) else None
        level = logging.WARNING if attempt in {3, 10} else logging.DEBUG
        log.log(level, "not connected client=%s error=%s", self.options.client_id, error)

    async def _attempt(self) -> Connection:
        if self._gate is not None:
            await self._gate()
        early: list[Message] = []
        connection: Connection | None = None

        def deliver(message: Message) -> None:
            if connection is None:
                early.append(message)  # came with the CONNACK, before there is what to answer on
            else:
                self._deliver(connection, message)

        connection = await self._transport.connect(self.options, deliver)
        try:
            _heed_cancellation()
            for message in early:
                self._deliver(connection, message)
            await self._set_up(connection)
            _heed_cancellation()
        except BaseException:
            await connection.close()
            raise
        if connection.lost.done():
            raise ConnectionLost("the connection ended while it was set up")
        self.last_error = None
        return connection


def _heed_cancellation() -> None:
    """End a task that was cancelled and does not know: waiting for it would never end.

    `asyncio.wait_for` of Python 3.11, with which aiomqtt connects, loses a cancellation that comes
    in the moment in which it is done.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
