"""A scheduler that waits for another one's database, and says so while it waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost, UnreadableMessage
from routeq_mqtt.presence.status import HEARTBEAT, SchedulerStatus
from routeq_mqtt.scheduler.lifecycle.session import MAX_WAIT
from routeq_mqtt.scheduler.store.engines.lockers import locker_of
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.transport.base import ConnectOptions, Will
from routeq_mqtt.transport.reconnecting import Link
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.observe.standby import StandbyStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.scheduler.lifecycle.presence import Presence
    from routeq_mqtt.scheduler.store.engines.engine import Held
    from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection, Message, Transport

log: logging.Logger = logging.getLogger(__name__)

_TRY_EVERY = 0.1
"""Seconds between two tries to take the lock: a part of the time without a leader."""

_LEAVE_WITHIN = 0.5
"""Seconds for its last message: taking over must not wait for a broker that hangs."""

_KEEP_ALIVE = 5


class Standby:
    """Waits for the lock of a database, however long another scheduler holds it.

    The lock alone decides. It is free as soon as the process of the leader has ended, however it
    did, and also while the broker is away. Whether the bus has seen a newer copy of the database
    is checked afterwards, as at every start.

    Args:
        transport, topics, clock: the bus.
        presence: of this scheduler.
    """

    def __init__(
        self, transport: Transport, topics: Topics, clock: Clock, presence: Presence
    ) -> None:
        own = presence.status
        self._topics = topics
        self._clock = clock
        self._presence = presence
        self._topic = topics.standby(own.instance)
        self._leader = ""
        self._complaints = Complaints(log)
        options = ConnectOptions(
            f"routeq-standby-{own.instance}", keep_alive=_KEEP_ALIVE, will=Will(self._topic, b"")
        )
        self._link = Link(transport, options, self._deliver, set_up=self._set_up, max_wait=MAX_WAIT)

    async def wait(self, db: DatabasePlace) -> Held:
        """The lock of a database once it is ours; at once if no other process holds it.

        Args:
            db: the database.

        Raises:
            ConfigurationError: the folder cannot be written to.
        """
        async with contextlib.aclosing(locker_of(db)) as locker:
            held = await locker.take()
            if held is not None:
                return held
            log.info("standby db=%s is held by another scheduler", db)
            with contextlib.ExitStack() as undo:
                async with self._announced():
                    while (held := await locker.take()) is None:
                        await asyncio.sleep(_TRY_EVERY)
                    undo.callback(held.release)  # should this be cancelled before it has returned
                    log.info("standby takes over db=%s", db)
                undo.pop_all()
            return held

    @contextlib.asynccontextmanager
    async def _announced(self) -> AsyncIterator[None]:
        """Say that it waits, and take that back."""
        tasks = Tasks()
        self._link.start()
        tasks.keep(self._repeat, "standby-status")
        self._presence.ready.set()
        try:
            yield
        finally:
            await tasks.close()
            await self._withdraw()

    async def _set_up(self, connection: Connection) -> None:
        await connection.subscribe(self._topics.scheduler)
        self._say(connection)

    def _say(self, connection: Connection) -> None:
        own = self._presence.status
        status = StandbyStatus(
            instance=own.instance, host=own.host, pid=own.pid, db=own.db, version=own.version,
            started_at=own.started_at, at=self._clock.now(),
        )  # fmt: skip
        connection.publish(self._topic, status.encode(), retain=True)

    async def _repeat(self) -> None:
        """Say it again: the leader clears the status of one that has fallen silent."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            connection = self._link.connection
            if connection is not None:
                self._say(connection)

    def _deliver(self, connection: Connection, message: Message) -> None:
        connection.acknowledge(message)
        try:
            leader = SchedulerStatus.decode(message.payload)
        except UnreadableMessage as error:
            self._complaints.note(message.topic, error)
            return
        if leader.state == "online" and leader.instance != self._leader:
            self._leader = leader.instance
            log.info("standby, the leader is host=%s pid=%d", leader.host, leader.pid)

    async def _withdraw(self) -> None:
        """Clear the status."""
        connection = self._link.connection
        if connection is not None:
            with contextlib.suppress(ConnectionLost, TimeoutError):
                async with asyncio.timeout(_LEAVE_WITHIN):
                    await connection.publish(self._topic, b"", retain=True)
        await self._link.close()
