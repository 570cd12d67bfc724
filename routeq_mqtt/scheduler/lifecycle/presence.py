"""What the bus knows of this scheduler: a retained status, and the Last Will that ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost, UnreadableMessage
from routeq_mqtt.presence.status import WIRE, SchedulerStatus, encode
from routeq_mqtt.transport.base import Will
from routeq_mqtt.version import VERSION
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection, Message

log: logging.Logger = logging.getLogger(__name__)


_LONGEST_TROUBLE = 200


class Presence:
    """Publishes the retained status of this scheduler, and makes its Last Will.

    Args:
        topics: of the bus.
        clock: the system's own.
        db: the database of this scheduler.

    Attributes:
        status: while it is online.
        online: set once every worker session has been asked what it holds, for the first time.
        ready: set once it is online, or waits as a standby.
    """

    def __init__(self, topics: Topics, clock: Clock, db: DatabasePlace) -> None:
        self.online: asyncio.Event = asyncio.Event()
        self.ready: asyncio.Event = asyncio.Event()
        self._topics = topics
        self._clock = clock
        self._troubles: dict[str, str] = {}
        self.status: SchedulerStatus = SchedulerStatus(
            instance=new_id()[-12:],
            state="online",
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=clock.now(),
            db=str(db),
            version=VERSION,
            wire=WIRE,
        )

    def take_over(self) -> None:
        """It leads from now on: of two that lead, the one that began later leaves."""
        self.status = replace(self.status, started_at=self._clock.now())

    def deal(self, *, deals: bool) -> None:
        """Whether it gives each job to one worker's session; before it connects as a scheduler."""
        self.status = replace(self.status, deals=deals)

    def will(self) -> Will:
        """The Last Will: what the broker publishes if this process dies."""
        return Will(self._topics.scheduler, encode(replace(self.status, state="lost")))

    def came_online(self) -> None:
        """The first census was asked: from now on every role works."""
        self.online.set()
        self.ready.set()
        log.info("scheduler instance=%s online", self.status.instance)

    def say_online(self, connection: Connection) -> None:
        """Publish the status."""
        online = replace(self.status, at=self._clock.now())
        connection.publish(self._topics.scheduler, encode(online), retain=True)

    def say_trouble(
        self, connection: Connection | None, trouble: str, *, about: str = "disk"
    ) -> None:
        """Publish what keeps us from working, for example that nothing can be committed now.

        Args:
            connection: where to.
            trouble: what it is; empty: it is over.
            about: one trouble at a time is known about each thing.
        """
        self._troubles[about] = trouble[:_LONGEST_TROUBLE]
        known = "; it ".join(filter(None, self._troubles.values()))
        self.status = replace(self.status, trouble=known)
        if connection is not None:
            self.say_online(connection)

    async def say_stopped(self, connection: Connection) -> None:
        """Publish that we leave."""
        stopped = replace(self.status, state="stopped", at=self._clock.now())
        with contextlib.suppress(ConnectionLost):  # then the Last Will speaks for us
            await connection.publish(self._topics.scheduler, encode(stopped), retain=True)

    def look_at_other(self, connection: Connection, message: Message) -> None:
        """The Last Will of another instance must not be the last word: we are here."""
        if message.dup:
            return  # what a predecessor that was killed had not acknowledged: it does not run
        if message.retain:
            return
        try:
            other = SchedulerStatus.decode(message.payload)
        except UnreadableMessage:  # cleared, or written over: who comes now must find us
            self.say_online(connection)
            return
        if other.state != "online" and other.instance != self.status.instance:
            self.say_online(connection)
