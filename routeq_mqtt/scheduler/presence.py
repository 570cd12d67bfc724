"""What the bus knows of this scheduler: a retained status, and the Last Will that ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost
from routeq_mqtt.presence.status import SchedulerStatus, decode, encode
from routeq_mqtt.transport.seam import Will
from routeq_mqtt.version import VERSION
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from pathlib import Path

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.seam import Connection, Message

log = logging.getLogger(__name__)


class Presence:
    """See the module.

    Args:
        topics: of the bus.
        clock: the system's own.
        db: the SQLite file of this scheduler.

    Attributes:
        status: while it is online.
        online: set once every worker session has been asked what it holds, for the first time.
    """

    def __init__(self, topics: Topics, clock: Clock, db: Path) -> None:
        self.online = asyncio.Event()
        self._topics = topics
        self._clock = clock
        self.status = SchedulerStatus(
            instance=new_id()[-12:],
            state="online",
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=clock.now(),
            db=str(db),
            version=VERSION,
        )

    def will(self) -> Will:
        """What the broker says of us when we are gone without a word."""
        return Will(self._topics.scheduler, encode(replace(self.status, state="lost")))

    def came_online(self) -> None:
        """The first census was asked: from now on every role works."""
        self.online.set()
        log.info("scheduler instance=%s online", self.status.instance)

    def say_online(self, connection: Connection) -> None:
        """Publish the status."""
        online = replace(self.status, at=self._clock.now())
        connection.publish(self._topics.scheduler, encode(online), retain=True)

    async def say_stopped(self, connection: Connection) -> None:
        """Publish that we leave."""
        stopped = replace(self.status, state="stopped", at=self._clock.now())
        with contextlib.suppress(ConnectionLost):  # then the Last Will speaks for us
            await connection.publish(self._topics.scheduler, encode(stopped), retain=True)

    def look_at_other(self, connection: Connection, message: Message) -> None:
        """The Last Will of another instance must not be the last word: we are here."""
        if message.dup:
            return  # what a predecessor that was killed had not acknowledged: it does not run
        other = decode(SchedulerStatus, message.payload) if message.payload else None
        gone = other is not None and other.state != "online" and not message.retain
        if gone and other is not None and other.instance != self.status.instance:
            self.say_online(connection)
