"""A queue group: holds messages in order, gives each to one member with room."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from routeq_broker.protocol.subscribe import Options
    from routeq_broker.routing.context import Context
    from routeq_broker.routing.session import Session
    from routeq_broker.storage.entry import Entry


class QueueGroup:
    """One ``$share/<group>/$queue/<name>``.

    Args:
        key: group and queue.
        context: where what was given is saved.

    Attributes:
        members: sessions, and how each subscribed.
        claimed: somebody has joined it since it exists.
        held: messages that members have.
        bytes: of the messages that wait.
    """

    def __init__(self, key: tuple[str, str], context: Context) -> None:
        self.key = key
        self.members: dict[Session, Options] = {}
        self.claimed = False
        self.held = 0
        self.bytes = 0
        self._context = context
        self._waiting: list[Entry] = []
        self._too_large: list[Entry] = []
        self._keys: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """Messages that no member has."""
        return len(self._waiting) + len(self._too_large)

    @property
    def empty(self) -> bool:
        """The group has no members and no messages."""
        return not (self.members or self.waiting or self.held)

    def join(self, session: Session, options: Options) -> None:
        """A member more, or one that changes how it subscribes."""
        self.members[session] = options
        for entry in self._too_large:  # it may accept larger packets than the others
            heapq.heappush(self._waiting, entry)
        self._too_large.clear()

    @property
    def keys(self) -> Iterable[str]:
        """Of what waits, and of what is in members' hands."""
        return self._keys

    def knows(self, key: str | None) -> bool:
        """Whether a message of this key is here already."""
        return key is not None and key in self._keys

    def put(self, entry: Entry) -> None:
        """A new message: it waits."""
        self._remember(entry.key)
        self._wait(entry)

    def put_back(self, entry: Entry, key: str | None) -> None:
        """A message that a member held waits again, at its old place.

        Args:
            entry: the message.
            key: as which it went out; `entry.key` may be another now.
        """
        self.over(key)
        self.put(entry)

    def adopt(self, entry: Entry) -> None:
        """A message that a member holds since before the broker restarted."""
        self._remember(entry.key)
        self.held += 1

    def over(self, key: str | None) -> None:
        """A message that a member held is not any more."""
        self.held -= 1
        self._forget(key)

    def pump(self) -> None:
        """Give what waits to the members with the emptiest windows."""
        now = self._context.clock.monotonic()
        while self._waiting:
            free = [member for member in self.members if member.has_room]
            if not free:
                return
            entry = self._take()
            if entry.expired(now):
                self._drop(entry)
                continue
            fitting = [member for member in free if self._fits(member, entry)]
            if fitting:
                self._give(min(fitting, key=lambda one: one.load), entry, many=len(free) > 1)
            else:
                self._too_large.append(entry)
                self.bytes += entry.size

    def _fits(self, member: Session, entry: Entry) -> bool:
        """Whether a member's client accepts the packet that `_give` makes of it."""
        more = len(member.identifiers(self.members[member])) + (0 if entry.qos else 2)
        return member.connection is not None and member.connection.fits(entry, more)

    def expire(self) -> None:
        """Drop what waits and is of no use any more."""
        now = self._context.clock.monotonic()
        kept = []
        for entry in (*self._waiting, *self._too_large):
            if entry.expired(now):
                self.bytes -= entry.size
                self._drop(entry)
            else:
                kept.append(entry)
        if len(kept) != self.waiting:
            heapq.heapify(kept)
            self._waiting, self._too_large = kept, []

    def take_all(self) -> list[Entry]:
        """Take out what waits."""
        waiting = [*self._waiting, *self._too_large]
        self._waiting, self._too_large, self.bytes = [], [], 0
        for entry in waiting:
            self._forget(entry.key)
        return waiting

    def _give(self, member: Session, entry: Entry, *, many: bool) -> None:
        options = self.members[member]
        if many:
            # The next of equals: to the end of the line.
            del self.members[member]
            self.members[member] = options
        # A queue is at QoS 1, also for who published at 0: only so it holds what it took.
        entry.qos = min(max(entry.qos, 1), options.qos)
        entry.ids = member.identifiers(options)
        if entry.qos:
            self.held += 1
            member.give(entry)
            self._context.journal.save(entry)
        elif member.connection is not None:
            member.connection.deliver(entry)  # at most once, as this member wants it
            self._context.journal.forget(entry)
            self._forget(entry.key)

    def _wait(self, entry: Entry) -> None:
        entry.owner, entry.mid, entry.released, entry.ids = None, 0, False, b""
        heapq.heappush(self._waiting, entry)
        self.bytes += entry.size

    def _take(self) -> Entry:
        entry = heapq.heappop(self._waiting)
        self.bytes -= entry.size
        return entry

    def _drop(self, entry: Entry) -> None:
        self._context.counters.expired += 1
        self._context.journal.forget(entry)
        self._forget(entry.key)

    def _remember(self, key: str | None) -> None:
        if key is not None:
            self._keys[key] = self._keys.get(key, 0) + 1

    def _forget(self, key: str | None) -> None:
        if key is None or key not in self._keys:
            return
        self._keys[key] -= 1
        if not self._keys[key]:
            del self._keys[key]
