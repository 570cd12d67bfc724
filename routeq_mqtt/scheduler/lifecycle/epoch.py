"""An older copy of a database must not take over a bus that has seen a newer one.

Each database has a lineage, which its copies share, and an epoch, which grows in the database first
and is then published, retained. A scheduler whose epoch is lower than the published one has a file
that was copied, restored from a backup, or taken over meanwhile: it would run again what has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.bus.send.sender import Sender
from routeq_mqtt.errors import ConnectionLost, StaleDatabase, UnreadableMessage
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.sql import epoch as sql_epoch
from routeq_mqtt.wire.messages.epoch import EpochClaim

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.presence.status import SchedulerStatus
    from routeq_mqtt.scheduler.store.database import Database
    from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection, Transport

log: logging.Logger = logging.getLogger(__name__)

ADVANCES_EVERY = 60.0
"""Seconds: a backup that is older than this is recognised, if anything was written since."""

_LARGEST = 1 << 52
"""A claim beyond it was not made by a scheduler: it must not use up the numbers."""


class Epoch:
    """The epoch of the database that this scheduler uses.

    Args:
        database: whose epoch it is.
        topics: of the bus.
        clock: the system's own.
        own: the status of this scheduler.

    Attributes:
        lineage: of the database.
        number: the epoch.
    """

    def __init__(
        self, database: Database, topics: Topics, clock: Clock, own: SchedulerStatus
    ) -> None:
        self.lineage: str = database.lineage
        self.number: int = 0
        self._database = database
        self._clock = clock
        self._own = own
        self._topics = topics
        self._topic = topics.epoch(database.lineage)
        self._since = 0

    async def claim(
        self, seen: Mapping[str, EpochClaim], db: DatabasePlace, *, force: bool = False
    ) -> None:
        """Begin a new epoch.

        Args:
            seen: what is published of each lineage.
            db: the path of the database, for the error.
            force: use an older copy, too.

        Raises:
            StaleDatabase: the bus has seen a newer copy of this database.
            StoreUnavailable: the database cannot be read.
        """
        [(number,)] = await self._database.read(sql_epoch.READ)
        found = seen.get(self.lineage)
        if found is not None and found.epoch > number and not force:
            raise StaleDatabase(
                f"--db={db} is an older copy: its epoch is {number}, and the bus has seen epoch "
                f"{found.epoch} (db={found.db} on {found.host}); start the scheduler with the "
                "newer file. If that is gone: --force, and jobs that ended since may run again"
            )
        last = max(seen.values(), key=lambda claim: claim.at, default=None)
        if last is not None and last is not found and (found is None or last.at > found.at):
            log.warning(
                "the last scheduler of this bus used another database db=%s host=%s; "
                "what it kept stays there", last.db, last.host,
            )  # fmt: skip
        try:
            await self._begin(max(number, found.epoch if found is not None else 0) + 1)
        except StoreUnavailable as error:
            log.error("cannot write the epoch: %s", error)
            self.number = number

    async def load(self) -> None:
        """Read the epoch of the database, unless it was claimed."""
        if not self.number:
            [(self.number,)] = await self._database.read(sql_epoch.READ)

    async def advance(self, connection: Connection | None) -> None:
        """Begin a new epoch if anything was written since the last one, and publish it.

        Raises:
            StoreUnavailable: the database cannot be written.
        """
        if self._database.written.fired == self._since:
            return
        await self._begin(self.number + 1)
        if connection is not None:
            self.say(connection)

    async def _begin(self, number: int) -> None:
        await self._database.write(sql_epoch.WRITE, [(number,)])
        self.number = number
        self._since = self._database.written.fired

    async def announce(self, transport: Transport) -> None:
        """Publish it before we connect as the scheduler: who is disconnected by that looks here."""
        name = f"routeq-epoch-{self._own.instance}"
        sender = Sender(transport, self._topics, name, clock=self._clock)
        sender.link.start()
        try:
            while True:
                with contextlib.suppress(ConnectionLost):
                    await self.say(await sender.link.ready())
                    return
        finally:
            await sender.link.close()

    def say(self, connection: Connection) -> asyncio.Future[int]:
        """Publish the epoch; committed before."""
        own = self._own
        claim = EpochClaim(
            epoch=self.number, instance=own.instance, host=own.host, db=own.db, at=self._clock.now()
        )
        return connection.publish(self._topic, claim.encode(), retain=True)

    async def look(self, connection: Connection) -> None:
        """Listen for newer ones, and publish ours."""
        await connection.subscribe(self._topic)
        self.say(connection)

    def deposed_by(self, seen: EpochClaim | None) -> StaleDatabase | None:
        """The error to leave with, if another scheduler uses a newer copy of this database."""
        own = self._own
        if seen is None or seen.epoch > _LARGEST or seen.instance == own.instance:
            return None
        if (seen.epoch, seen.instance) <= (self.number, own.instance):
            return None
        return StaleDatabase(
            f"another scheduler uses a newer copy of --db={own.db}: its epoch is {seen.epoch}, "
            f"ours {self.number} (db={seen.db} on {seen.host}); nothing more is committed here. "
            "Jobs that only this file has: stop the other scheduler, and start one with --force"
        )


def decode_claim(payload: bytes) -> EpochClaim | None:
    """What is published of a lineage; None: nothing that can be read."""
    try:
        claim = EpochClaim.decode(payload)
    except UnreadableMessage:
        return None
    return claim if claim.epoch <= _LARGEST else None


async def advance_often(epoch: Epoch, connection: Callable[[], Connection | None]) -> None:
    """Begin a new epoch once a minute while anything is written."""
    while True:
        await asyncio.sleep(ADVANCES_EVERY)
        try:
            await epoch.advance(connection())
        except StoreUnavailable as error:
            log.warning("cannot write the epoch: %s", error)
