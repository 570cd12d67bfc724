"""Retained messages where jobs come in: each is taken once, not at every start.

A broker sends them with each SUBSCRIBE, also to a session that got them when they were published.
Only with a new subscription they are news (MQTT 5, 3.8.3.1, Retain Handling 1). MQTT 3.1.1 has no
such option: there a session that is known to have its subscriptions does not subscribe again. What
comes retained all the same is remembered by its digest, for a session that begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.sql import retained as sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.scheduler.store.database import Database
    from routeq_mqtt.transport.base import Connection, Message

_DIGEST_SIZE = 16
_MOST = 10_000
"""Topics that are remembered."""


class Retained:
    """What was taken in of retained messages.

    Args:
        database: where it is written down.
        own: a topic of the scheduler alone.
    """

    def __init__(self, database: Database, own: str) -> None:
        self._db = database
        self._own = own
        self._has_subscriptions = False
        self._digests: dict[str, bytes] = {}
        self._subscribed = ""

    async def load(self) -> None:
        """Read what an earlier scheduler took in.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        self._digests = {str(row[0]): row[1] for row in await self._db.read(sql.RETAINED)}
        found = await self._db.read(sql.SUBSCRIBED)
        self._subscribed = str(found[0][0]) if found else ""

    def is_known(self, message: Message) -> bool:
        """Whether this very message of its topic was taken in before."""
        return self._digests.get(message.topic) == _digest(message)

    async def keep(self, messages: Sequence[Message]) -> None:
        """Remember messages whose jobs are rows.

        Raises:
            StoreUnavailable: try again.
        """
        if not messages:
            return
        taken = {message.topic: _digest(message) for message in messages}
        async with self._db.transaction() as work:
            await work.many(sql.KEEP_RETAINED, list(taken.items()))
            await work.run(sql.FORGET_OLDEST, (_MOST,))
        self._digests.update(taken)

    def ask_session(self, connection: Connection) -> None:
        """Find out whether the session has its subscriptions: our message comes back through one.

        A scheduler that is killed between CONNECT and SUBSCRIBE leaves a session that has none, and
        what is on disk says nothing of that. If what is published behind this message comes back
        and this one does not, they are missing.
        """
        self._has_subscriptions = False
        connection.publish(self._own, b"")

    def came(self, message: Message) -> bool:
        """Whether a message is the one of `ask_session`."""
        if message.topic != self._own:
            return False
        self._has_subscriptions = True
        return True

    async def subscribe(self, connection: Connection, filters: Sequence[str]) -> None:
        """Subscribe the scheduler's session to where jobs come in; after `ask_session`.

        Raises:
            ConnectionLost: the connection ended first.
        """
        filters = [*filters, self._own]  # in one packet: who has the last one has all
        names = "\n".join(filters)
        if connection.mqtt5:
            await connection.subscribe(*filters, retained_if_new=True)
        elif not (self._has_subscriptions and names == self._subscribed):
            await connection.subscribe(*filters)
        if names != self._subscribed:
            with contextlib.suppress(StoreUnavailable):  # it subscribes once more next time
                await self._db.write(sql.SET_SUBSCRIBED, [(names,)])
                self._subscribed = names


def _digest(message: Message) -> bytes:
    return hashlib.blake2b(message.payload, digest_size=_DIGEST_SIZE).digest()
