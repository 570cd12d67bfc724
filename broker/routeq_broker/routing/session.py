"""A session: what one client identifier has subscribed to, and what it was given."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol

from routeq_broker.routing.backlog import Backlog
from routeq_broker.routing.filters import split_share
from routeq_broker.routing.tree import has_wildcard
from routeq_broker.storage import sql
from routeq_broker.storage.entry import encode_ids
from routeq_broker.text import shown

if TYPE_CHECKING:
    import asyncio

    from routeq_broker.access.acl import Rights
    from routeq_broker.protocol.connect import Will
    from routeq_broker.protocol.subscribe import Options
    from routeq_broker.routing.context import Context
    from routeq_broker.routing.feed import Feed
    from routeq_broker.storage.entry import Entry

log = logging.getLogger(__name__)

_LAST_MID = 65_535
_LOSSY = 1 << 20
"""Bytes that wait for a client whose socket is full before messages of QoS 0 are dropped."""

_BLOCK = 4_000
"""Packet ids that are written down as used at once; a restart goes on behind them."""


class Outlet(Protocol):
    """What a session writes to: its client's connection.

    Attributes:
        full: the socket does not take more now; `Router.room_in` is called when it does again.
        inflight: messages that the client accepts unacknowledged.
    """

    inflight: int

    @property
    def full(self) -> bool:
        """See the attributes."""
        ...

    def fits(self, entry: Entry, more: int = 0) -> bool:
        """Whether the client accepts a packet of that size and `more` bytes."""
        ...

    def deliver(self, entry: Entry) -> None:
        """Send a PUBLISH."""
        ...

    def release(self, mid: int) -> None:
        """Send a PUBREL."""
        ...

    def close(self, reason: int | None = None) -> None:
        """End the connection; `reason` is told to a client of MQTT 5."""
        ...


class Session:
    """The subscriptions and unacknowledged messages of one client identifier.

    Args:
        client_id: whose it is.
        context: journal, limits, clock and counters.
        window: queue messages that it may hold at once.
        expiry: seconds for which it outlives its connection.

    Attributes:
        user: whose it is; no other user may take it over.
        rights: what its client may do; None: everything.
        will: published when the connection is lost.
        subscriptions: filter -> how it was granted, shared ones included.
        held: packet id -> message, given and not acknowledged, in the order given.
        pending: messages of plain subscriptions that wait to be given.
        received: packet ids of QoS 2 messages from the client whose PUBREL has not come.
        feed: retained messages that its new subscriptions still have to bring.
        saved: it is in the database.
        used: packet ids up to this one are written down as used; 0: none is.
        answering: a SUBACK is due first; messages wait behind it.
        reserved: while this timer runs, what a lost client holds stays its own.
        expiring: ends the session.
        will_timer: publishes the will.
    """

    def __init__(
        self,
        client_id: str,
        context: Context,
        *,
        window: int,
        expiry: int,
        user: str | None = None,
        rights: Rights | None = None,
    ) -> None:
        self.client_id = client_id
        self.user = user
        self.rights = rights
        self.expiry = expiry
        self.window = window
        self.will: Will | None = None
        self.subscriptions: dict[str, Options] = {}
        self.held: dict[int, Entry] = {}
        self.pending = Backlog()
        self.received: set[int] = set()
        self.feed: Feed | None = None
        self.connection: Outlet | None = None
        self.reserved: asyncio.TimerHandle | None = None
        self.expiring: asyncio.TimerHandle | None = None
        self.will_timer: asyncio.TimerHandle | None = None
        self.from_queues = 0
        self.dropped = 0
        self.saved = False
        self.used = 0
        self.answering = False
        self._context = context
        self._again: deque[int] = deque()
        self._mid = 0
        self._numbered = 0

    @property
    def persistent(self) -> bool:
        """Whether it outlives its connection."""
        return self.expiry > 0

    @property
    def has_room(self) -> bool:
        """Whether a queue message can be given to it now."""
        return self.from_queues < self.window and self._may_hold_more() and self._open()

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
        return has_wildcard(name) or self.rights.may_read(name)

    def may_read(self, topic: str) -> bool:
        """Whether its client may get messages of a topic."""
        return self.rights is None or self.rights.may_read(topic)

    def identifiers(self, options: Options) -> bytes:
        """The encoded identifier of one of its subscriptions."""
        return encode_ids((options.identifier,)) if options.identifier else b""

    # -- giving --------------------------------------------------------------------------------

    def offer(self, entry: Entry) -> bool:
        """Take a message of a plain subscription; False: there is no room for it."""
        connection = self.connection
        if entry.qos == 0:
            return connection is None or self._offer_at_once(connection, entry)
        if connection is None and not self.persistent:
            return True
        if self._is_full(entry):
            return self._no_room(entry)
        self.pending.append(entry)
        if self.persistent:
            self._context.journal.save(entry)
        self.pump()
        return True

    def _is_full(self, entry: Entry) -> bool:
        limits = self._context.limits
        return (
            len(self.pending) >= limits.queued_messages
            or self.pending.bytes + entry.size > limits.queued_bytes
        )

    def _offer_at_once(self, connection: Outlet, entry: Entry) -> bool:
        if not connection.fits(entry):
            return self._no_room(entry)
        full = connection.full
        if not (full or self.feed is not None or self.answering or self.pending.unsafe):
            self._send(entry)
        elif self._is_full(entry) or (full and self.pending.bytes > _LOSSY):
            return self._no_room(entry)
        else:
            self.pending.append(entry)  # behind the retained messages, and its elders
        return True

    def _no_room(self, entry: Entry) -> bool:
        self._context.counters.dropped += 1
        if self.dropped % 1_000 == 0:
            log.warning(
                "client=%s reads too slowly, dropped qos=%d topic=%s: waiting=%d bytes=%d",
                shown(self.client_id), entry.qos, shown(entry.topic), len(self.pending),
                self.pending.bytes,
            )  # fmt: skip
        self.dropped += 1
        return False

    def give(self, entry: Entry) -> None:
        """Send a message that is to be acknowledged."""
        entry.mid = self._next_mid()
        entry.dup = False  # under this packet id it was never sent [MQTT-3.3.1-1]
        entry.owner = self.client_id
        self.adopt(entry)
        self._send(entry)

    def go_on(self) -> None:
        """Go on with packet ids behind those that were used before a restart.

        A receiver takes a packet id that comes again for the same message, as long as it does not
        know that its PUBACK has arrived. Which ids were used is written down by the block, and a
        broker that was killed may not have come to the last one: so one more is left out.
        """
        used = (self.used + _BLOCK) % _LAST_MID if self.used else max(self.held, default=0)
        self._mid, self._numbered = used, 0

    def _next_mid(self) -> int:
        while True:
            if self._numbered == 0:
                self.used = (self._mid + _BLOCK - 1) % _LAST_MID + 1
                if self.saved:
                    self._context.journal.write(sql.SAVE_MID, self.used, self.client_id)
            self._numbered = (self._numbered + 1) % _BLOCK
            self._mid = self._mid % _LAST_MID + 1
            if self._mid not in self.held:
                return self._mid

    def detach(self) -> None:
        """Its connection has ended."""
        self.connection = None
        self.answering = False
        self._again.clear()
        self.feed = None

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
        self._again = deque(self.held)
        for entry in self.held.values():
            entry.dup = True
        self.pump()

    def _repeat(self) -> None:
        """Send again what was sent on an earlier connection, as far as the socket takes it.

        Also no more than this connection's Receive Maximum [MQTT-3.3.4-9].
        """
        connection = self.connection
        while self._again and connection is not None and not connection.full:
            entry = self.held.get(self._again[0])
            sent = len(self.held) - len(self._again)
            if entry is not None and not entry.released and sent >= connection.inflight:
                return
            self._again.popleft()
            if entry is None:
                continue  # acknowledged meanwhile
            if entry.released:
                connection.release(entry.mid)
            else:
                self._send(entry)

    def pump(self) -> None:
        """Give what waits for this session, as far as its socket takes it."""
        self._repeat()
        while self._open():
            entry = self._next()
            if entry is None:
                return
            self._pass(entry)

    def _open(self) -> bool:
        """Whether its socket takes a message now."""
        connection = self.connection
        return not (connection is None or self.answering or self._again or connection.full)

    def _may_hold_more(self) -> bool:
        """Whether its client accepts one more message that it has to acknowledge."""
        return self.connection is not None and len(self.held) < self.connection.inflight

    def _next(self) -> Entry | None:
        """What may be sent now: where the Receive Maximum is reached, only QoS 0."""
        safe = self._may_hold_more()
        if self.feed is not None:
            entry = self.feed.next(only_qos_0=not safe)
            if entry is not None or not self.feed.over:
                return entry
            self.feed = None
        first = self.pending.first
        if first is None or (first.qos and not safe):
            return None
        return self.pending.popleft()

    def _pass(self, entry: Entry) -> None:
        connection, context = self.connection, self._context
        if connection is None:
            return
        if entry.expired(context.clock.monotonic()):
            context.counters.expired += 1
        elif not connection.fits(entry):
            self._no_room(entry)  # [MQTT-3.1.2-24]
        elif entry.qos:
            self.give(entry)
            if self.persistent:
                context.journal.save(entry)
            return
        else:
            self._send(entry)
        context.journal.forget(entry)

    def _send(self, entry: Entry) -> None:
        if self.connection is not None:
            self.connection.deliver(entry)

    # -- timers --------------------------------------------------------------------------------

    def stop_reserving(self) -> None:
        """Its client is back, or its time is over."""
        if self.reserved is not None:
            self.reserved.cancel()
            self.reserved = None

    def stop_timers(self) -> None:
        """It is in use again, or gone."""
        self.stop_reserving()
        for timer in (self.expiring, self.will_timer):
            if timer is not None:
                timer.cancel()
        self.expiring = self.will_timer = None
