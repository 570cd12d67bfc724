"""What waits to be given to one session."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routeq_broker.storage.entry import Entry


class Backlog:
    """Messages of plain subscriptions that wait for one session, in order.

    Attributes:
        bytes: of memory that they take, about.
        unsafe: how many of them are at QoS 0: a later one must not overtake them.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self.unsafe = 0
        self._entries: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    @property
    def first(self) -> Entry | None:
        """The one whose turn is next; None: none waits."""
        return self._entries[0] if self._entries else None

    def append(self, entry: Entry) -> None:
        """One more, at the end."""
        self._entries.append(entry)
        self.bytes += entry.size
        self.unsafe += not entry.qos

    def popleft(self) -> Entry:
        """Take out the first one.

        Raises:
            IndexError: none waits.
        """
        entry = self._entries.popleft()
        self.bytes -= entry.size
        self.unsafe -= not entry.qos
        return entry
