"""Ids of messages that came without one: given once, for good, in the commit that takes them in.

Such a message can be recognised by nothing but its packet id, and packet ids come again. It is
delivered a second time only within the same session, and only while its PUBACK may not have reached
the broker (MQTT 5, 4.4). Three facts bound that time:

* Whatever the broker acknowledges on the same connection behind our PUBACK tells that it arrived.
* A broker delivers again in the order of the first delivery [MQTT-4.6.0-1], before anything new:
  what is new to us tells that nothing older will come again.
* A session that is new delivers nothing again.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.store.rows import NONE_GIVEN, GivenId, GivenNow, StoreUnavailable
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.scheduler.store.store import Store
    from routeq_mqtt.transport.base import Connection, Message

_GATHER = 0.05
"""Seconds in which the next commit may write down that PUBACKs have arrived."""

_DIGEST_SIZE = 16


class GivenIds:
    """The given ids of one MQTT session.

    Args:
        store: where they are kept.
        session: the client identifier.
        topic: of the session's own; what is published there is acknowledged behind our PUBACKs.
    """

    def __init__(self, store: Store, session: str, topic: str) -> None:
        self._store = store
        self._session = session
        self._topic = topic
        self._connection: Connection | None = None
        self._named: tuple[Message, str] | None = None
        self._number = 0
        self._earlier: dict[int, GivenId] = {}
        self._current: dict[int, GivenId] = {}
        self._last = 0
        self._new: list[GivenId] = []
        self._over: list[tuple[str, int]] = []
        self._read: list[GivenId] = []
        self._unseen: list[GivenId] = []
        self._acknowledged = Notifier()

    @property
    def any(self) -> bool:
        """Whether some messages may come again."""
        return bool(self._earlier or self._current or self._over)

    async def load(self) -> None:
        """Read what an earlier process gave in this session.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        found = await self._store.given_ids(self._session)
        self._earlier = {one.packet_id: one for one in found}
        self._number = found[-1].number if found else 0

    async def forget(self) -> None:
        """The session is new, or has nothing to deliver again.

        Raises:
            StoreUnavailable: try again before the session can get anything.
        """
        await self._store.forget_given(self._session)
        self._earlier.clear()
        self._current.clear()
        self._over.clear()

    # -- messages, in the order in which they came ---------------------------------------------

    def reads(self, connection: Connection, message: Message) -> None:
        """A message is read, with an id or without."""
        if connection is not self._connection:
            self._connection = connection
            self._earlier |= self._current
            self._current = {}
            self._last = 0
            self._read, self._unseen = [], []  # the PUBACKs of a lost connection stay uncertain
        if self._earlier and message.qos and not message.dup:
            self.nothing_again()

    def nothing_again(self) -> None:
        """All is read that the broker delivers again on this connection."""
        self._over.extend((self._session, one.number) for one in self._earlier.values())
        self._earlier.clear()

    def id_of(self, message: Message) -> str:
        """The id of a message that has none; the same should this delivery come again."""
        if self._named is None or self._named[0] is not message:
            self._named = (message, self._name(message))
        return self._named[1]

    def _name(self, message: Message) -> str:
        if not message.qos:
            return new_id()  # it never comes again
        digest = _digest(message)
        known = self._earlier.get(message.packet_id)
        if known is not None and known.digest == digest and known.number > self._last:
            self._last = known.number
            self._current[message.packet_id] = self._earlier.pop(message.packet_id)
            self._read.append(known)
            return known.id
        self.nothing_again()
        before = self._current.get(message.packet_id)
        if before is not None:  # the packet id is used again: its PUBACK has arrived
            self._over.append((self._session, before.number))
        self._number += 1
        given = GivenId(self._session, self._number, message.packet_id, digest, new_id())
        self._current[message.packet_id] = given
        self._new.append(given)
        self._read.append(given)
        return given.id

    def to_write(self) -> GivenNow:
        """What the next commit is to write down; `written` says that it has."""
        if not (self._new or self._over):
            return NONE_GIVEN
        return GivenNow(list(self._new), list(self._over))

    def written(self, now: GivenNow) -> None:
        """A commit has written this down."""
        self._new = self._new[len(now.given) :]
        self._forget_over(now.over)

    # -- PUBACKs -------------------------------------------------------------------------------

    def acknowledged(self) -> None:
        """All that was read is acknowledged, as far as its connection lives."""
        if self._read:
            self._unseen += self._read
            self._read = []
            self._acknowledged.notify()

    async def run(self) -> None:
        """See that the PUBACKs have arrived, again and again."""
        while True:
            since = self._acknowledged.fired
            await self._see()
            await self._acknowledged.wait(since=since)

    async def _see(self) -> None:
        connection = self._connection
        asked, self._unseen = self._unseen, []
        if connection is None or not asked:
            return
        try:
            await connection.publish(self._topic, b"")
        except ConnectionLost:
            return
        for one in asked:
            for known in (self._current, self._earlier):
                if known.get(one.packet_id) is one:
                    del known[one.packet_id]
                    self._over.append((self._session, one.number))
        await asyncio.sleep(_GATHER)
        await self._write()

    async def _write(self) -> None:
        over = list(self._over)
        if not over:
            return
        try:
            await self._store.given_over(over)
        except StoreUnavailable:
            return  # the next commit writes it
        self._forget_over(over)

    def _forget_over(self, over: Sequence[tuple[str, int]]) -> None:
        if over:
            gone = set(over)
            self._over = [one for one in self._over if one not in gone]


def _digest(message: Message) -> bytes:
    topic = message.topic.encode()
    digest = hashlib.blake2b(b"%d:" % len(topic), digest_size=_DIGEST_SIZE)
    digest.update(topic)
    digest.update(message.payload)
    return digest.digest()
