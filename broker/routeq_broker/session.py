"""A session: what one client identifier has subscribed to, and what it was given."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from routeq_broker import packets
from routeq_broker.matching import split_share

if TYPE_CHECKING:
    import asyncio

    from routeq_broker.acl import Rights
    from routeq_broker.connection import Connection
    from routeq_broker.entry import Entry

_LAST_MID = 65_535
_MOST_PLAIN = 20_000
"""Unacknowledged messages of plain subscriptions at most; there are 65535 packet ids."""


class Session:
    """See the module.

    Attributes:
        clean: it ends with its connection.
        user: whose it is; nobody else may take it over.
        rights: what its client may do; None: everything.
        window: queue messages that it may hold at once.
        subscriptions: filter -> granted QoS, shared ones included.
        held: packet id -> message, given and not acknowledged, in the order given.
        pending: messages of plain subscriptions that wait to be given.
        reserved: while this timer runs, what a lost client holds stays its own.
    """

    def __init__(
        self,
        client_id: str,
        *,
        clean: bool,
        window: int,
        user: str | None = None,
        rights: Rights | None = None,
    ) -> None:
        self.client_id = client_id
        self.user = user
        self.rights = rights
        self.clean = clean
        self.window = window
        self.subscriptions: dict[str, int] = {}
        self.held: dict[int, Entry] = {}
        self.pending: deque[Entry] = deque()
        self.connection: Connection | None = None
        self.reserved: asyncio.TimerHandle | None = None
        self.from_queues = 0
        self._mid = 0

    @property
    def has_room(self) -> bool:
        """Whether a queue message can be given to it now."""
        return (
            self.connection is not None
            and not self.connection.blocked
            and self.from_queues < self.window
        )

    @property
    def load(self) -> float:
        """How full its window is."""
        return self.from_queues / max(1, self.window)

    def may_subscribe(self, name: str) -> bool:
        """Whether it may have a filter; with wildcards always, since each topic is checked."""
        share = split_share(name)
        if self.rights is None:
            return True
        if share is not None:
            return self.rights.may_share(share[1])
        return "+" in name or "#" in name or self.rights.may_read(name)

    def may_read(self, topic: str) -> bool:
        """Whether its client may get messages of a topic."""
        return self.rights is None or self.rights.may_read(topic)

    def give(self, entry: Entry) -> None:
        """Send a message that is to be acknowledged."""
        self._mid = self._mid % _LAST_MID + 1
        while self._mid in self.held:
            self._mid = self._mid % _LAST_MID + 1
        entry.mid = self._mid
        entry.owner = self.client_id
        self.adopt(entry)
        self._send(entry)

    def adopt(self, entry: Entry) -> None:
        """Take a message that was given to this session before."""
        self.held[entry.mid] = entry
        self.from_queues += entry.group is not None

    def drop(self, mid: int) -> Entry | None:
        """A message is no longer held: acknowledged, or taken back."""
        entry = self.held.pop(mid, None)
        if entry is not None:
            self.from_queues -= entry.group is not None
        return entry

    def resume(self) -> None:
        """After a reconnect: what is not acknowledged comes again first, in order [4.4.0-1]."""
        for entry in self.held.values():
            entry.dup = True
            self._send(entry)

    def pump(self) -> None:
        """Give what waits for this session, as far as its socket takes it."""
        while (
            self.pending
            and self.connection is not None
            and not self.connection.blocked
            and len(self.held) < _MOST_PLAIN
        ):
            self.give(self.pending.popleft())

    def _send(self, entry: Entry) -> None:
        if self.connection is not None:
            self.connection.send(
                packets.publish(
                    entry.topic.encode(),
                    entry.payload,
                    qos=1,
                    dup=entry.dup,
                    retain=False,
                    mid=entry.mid,
                )
            )

    def stop_reserving(self) -> None:
        """Its client is back, or its time is over."""
        if self.reserved is not None:
            self.reserved.cancel()
            self.reserved = None
