"""The queues: which groups share each of them, and what waits there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_broker.entry import Entry
from routeq_broker.group import QueueGroup
from routeq_broker.matching import split_share

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routeq_broker.journal import Journal
    from routeq_broker.policy import RedeliveryPolicy
    from routeq_broker.session import Session

log = logging.getLogger(__name__)

DEFAULT_GROUP = "routeq"

Key = tuple[str, str]
"""Group and queue."""


class Queues:
    """See the module.

    Args:
        journal: where waiting messages are kept.
        policy: knows the payloads.
        prefix: of the topics that are queues.
        changed: called when what waits has changed.
    """

    def __init__(
        self, journal: Journal, policy: RedeliveryPolicy, prefix: str, changed: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._policy = policy
        self._prefix = prefix
        self._changed = changed
        self._groups: dict[Key, QueueGroup] = {}

    def named(self, topic: str) -> str | None:
        """The queue that a topic is; None: it is none."""
        if topic.startswith(self._prefix) and len(topic) > len(self._prefix):
            return topic[len(self._prefix) :]
        return None

    def key_of(self, name: str) -> Key | None:
        """Group and queue of a shared filter that names a queue."""
        share = split_share(name)
        if share is None or not share[1].startswith(self._prefix):
            return None
        return share[0], share[1][len(self._prefix) :]

    # -- members -------------------------------------------------------------------------------

    def join(self, key: Key, session: Session) -> None:
        """A session serves a queue; its first group gets what has waited for one."""
        group = self._group(key)
        if not group.claimed:
            group.claimed = True
            for other in list(self._groups.values()):
                if other.key[1] == key[1] and other is not group and not other.claimed:
                    for entry in other.take_all():
                        entry.group = key
                        group.put(entry)
                        self._journal.save(entry)
                    del self._groups[other.key]
        group.members[session] = None

    def leave(self, key: Key, session: Session) -> None:
        """A session serves a queue no more; what it holds stays with it."""
        group = self._groups.get(key)
        if group is not None:
            group.members.pop(session, None)
            if group.empty:
                del self._groups[key]

    def room_in(self, session: Session) -> None:
        """A session may have got room for what waits in its queues."""
        for name in session.subscriptions:
            key = self.key_of(name)
            if key is not None and key in self._groups:
                self._groups[key].pump()
        self._changed()

    # -- messages ------------------------------------------------------------------------------

    def put(self, queue: str, topic: str, payload: bytes, number: Callable[[], int]) -> None:
        """A new message; each group that serves its queue gets one.

        Args:
            queue: its queue.
            topic: its topic.
            payload: of the message; one whose key is here already is dropped.
            number: gives the place of each copy, in order of arrival.
        """
        groups = [g for g in self._groups.values() if g.key[1] == queue and g.claimed]
        if not groups:
            groups = [self._group((DEFAULT_GROUP, queue))]
        key = self._policy.identify(payload)
        for group in groups:
            if group.knows(key):
                log.info("queue=%s key=%s came twice, dropped", queue, key)
                continue
            entry = Entry(number(), topic, payload, group=group.key, key=key)
            group.put(entry)
            self._journal.save(entry)
            group.pump()
        self._changed()

    def load(self, entry: Entry, key: Key, session: Session | None) -> None:
        """Take up a message after a restart.

        Args:
            entry: the message.
            key: its group and queue.
            session: holds it; None: nobody does.
        """
        group = self._group(key)
        if session is not None:
            group.remember(entry)
            session.adopt(entry)
        else:
            entry.dup = entry.dup or entry.owner is not None
            group.put(entry)

    def put_back(self, entries: Sequence[tuple[Entry, Key]]) -> None:
        """What sessions held waits again, at its old place."""
        touched = set()
        for entry, key in entries:
            entry.dup = True
            group = self._group(key)
            group.put(entry)
            self._journal.save(entry)
            touched.add(group)
        for group in touched:
            group.pump()
        self._changed()

    def over(self, entry: Entry) -> None:
        """A message was acknowledged."""
        if entry.group is not None and entry.group in self._groups:
            group = self._groups[entry.group]
            group.over(entry)
            group.pump()
            self._changed()

    def sizes(self) -> dict[str, dict[str, int]]:
        """Of each queue: messages that wait, and messages in workers' hands."""
        sizes: dict[str, dict[str, int]] = {}
        for (_, queue), group in self._groups.items():
            size = sizes.setdefault(queue, {"waiting": 0, "held": 0})
            size["waiting"] += group.waiting
            size["held"] += group.held
        return {queue: size for queue, size in sizes.items() if any(size.values())}

    def _group(self, key: Key) -> QueueGroup:
        if key not in self._groups:
            self._groups[key] = QueueGroup(key, self._journal.save)
        return self._groups[key]
