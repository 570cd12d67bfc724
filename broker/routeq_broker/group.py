"""A queue group: holds messages in order, gives each to one member with room."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_broker.entry import Entry
    from routeq_broker.session import Session


class QueueGroup:
    """One ``$share/<group>/$queue/<name>``.

    Args:
        key: group and queue.
        given: called with each message that was given to a member.
    """

    def __init__(self, key: tuple[str, str], given: Callable[[Entry], None]) -> None:
        self.key = key
        self.members: dict[Session, None] = {}
        self.claimed = False
        self._given = given
        self._waiting: list[Entry] = []
        self._keys: set[str] = set()

    @property
    def waiting(self) -> int:
        """Messages that nobody holds."""
        return len(self._waiting)

    @property
    def held(self) -> int:
        """Messages in members' hands."""
        return sum(
            entry.group == self.key for member in self.members for entry in member.held.values()
        )

    @property
    def empty(self) -> bool:
        """Nobody and nothing is here."""
        return not self.members and not self._waiting

    def knows(self, key: str | None) -> bool:
        """Whether a message of this key is here already."""
        return key is not None and key in self._keys

    def put(self, entry: Entry) -> None:
        """A new message, or one that comes back: it waits at its old place."""
        if entry.key is not None:
            self._keys.add(entry.key)
        entry.owner, entry.mid = None, 0
        heapq.heappush(self._waiting, entry)

    def over(self, entry: Entry) -> None:
        """A message was acknowledged."""
        if entry.key is not None:
            self._keys.discard(entry.key)

    def remember(self, entry: Entry) -> None:
        """A message that a member holds since before the broker restarted."""
        if entry.key is not None:
            self._keys.add(entry.key)

    def pump(self) -> None:
        """Give what waits to the members with the emptiest windows."""
        while self._waiting:
            free = [member for member in self.members if member.has_room]
            if not free:
                return
            member = min(free, key=lambda one: one.load)
            if len(free) > 1:
                # The next of equals: to the end of the line.
                del self.members[member]
                self.members[member] = None
            entry = heapq.heappop(self._waiting)
            member.give(entry)
            self._given(entry)

    def take_all(self) -> list[Entry]:
        """Take out what waits."""
        waiting, self._waiting = self._waiting, []
        return waiting
