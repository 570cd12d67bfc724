"""The queues: which groups share each of them, and what waits there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_broker.routing.filters import split_share
from routeq_broker.routing.group import QueueGroup
from routeq_broker.storage.entry import Entry
from routeq_broker.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from routeq_broker.protocol.subscribe import Options
    from routeq_broker.routing.context import Context
    from routeq_broker.routing.namespaces import Namespaces
    from routeq_broker.routing.session import Session
    from routeq_broker.storage.entry import Message

log = logging.getLogger(__name__)

DEFAULT_GROUP = "routeq"

Key = tuple[str, str]
"""Group and queue."""


class Queues:
    """All queues, with the groups that share them and the messages that wait.

    Args:
        context: journal, policy and clock.
        namespaces: know which topics are queues.
        changed: called when what waits has changed.
    """

    def __init__(
        self, context: Context, namespaces: Namespaces, changed: Callable[[], None]
    ) -> None:
        self._context = context
        self.namespaces: Namespaces = namespaces
        self.named: Callable[[str], str | None] = namespaces.queue
        self._changed = changed
        self._queues: dict[str, dict[str, QueueGroup]] = {}

    def key_of(self, name: str) -> Key | None:
        """Group and queue of a shared filter that names a queue."""
        share = split_share(name)
        if share is None:
            return None
        queue = self.named(share[1])
        return None if queue is None else (share[0], queue)

    # -- members -------------------------------------------------------------------------------

    def join(self, key: Key, session: Session, options: Options) -> None:
        """A session serves a queue; its first group gets what has waited for one."""
        group = self._group(key)
        if not group.claimed:
            group.claimed = True
            for other in list(self._queues[key[1]].values()):
                if other is not group and not other.claimed:
                    for entry in other.take_all():
                        entry.group = key
                        group.put(entry)
                        self._context.journal.save(entry)
                    self._forget_if_empty(other)
        group.join(session, options)

    def leave(self, key: Key, session: Session) -> None:
        """A session serves a queue no more; what it holds stays with it."""
        group = self._find(key)
        if group is not None:
            group.members.pop(session, None)
            self._forget_if_empty(group)

    def room_in(self, session: Session) -> None:
        """A session may have got room for what waits in its queues."""
        for name in session.subscriptions:
            group = self._find(self.key_of(name))
            if group is not None:
                group.pump()
        self._changed()

    # -- messages ------------------------------------------------------------------------------

    def put(self, queue: str, message: Message) -> None:
        """A new message; each group that serves its queue gets one."""
        known = self._queues.get(queue, {})
        groups = [group for group in known.values() if group.claimed]
        if not groups:
            groups = [self._group((DEFAULT_GROUP, queue))]
        payload, key = self._context.policy.taken_in(message.payload)
        for group in groups:
            if group.knows(key):
                log.info("queue=%s key=%s came twice, dropped", shown(queue), key)
                continue
            entry = Entry(
                next(self._context.numbers),
                message.topic,
                payload,
                qos=message.qos,
                properties=message.properties,
                expires=message.expires,
                group=group.key,
                key=key,
            )
            group.put(entry)
            self._context.journal.save(entry)
            group.pump()
        self._changed()

    def load(self, entry: Entry, key: Key, session: Session | None) -> None:
        """Take up a message after a restart.

        Args:
            entry: the message.
            key: its group and queue.
            session: holds it; None: no session does.
        """
        group = self._group(key)
        if session is not None:
            group.adopt(entry)
            session.adopt(entry)
        else:
            group.put(entry)

    def put_back(self, entries: Sequence[tuple[Entry, str | None]]) -> None:
        """What sessions held waits again, at its old place; each with the key that it had."""
        touched: dict[QueueGroup, None] = {}
        for entry, key in entries:
            if entry.group is None:
                continue
            group = self._group(entry.group)
            group.put_back(entry, key)
            self._context.journal.save(entry)
            touched[group] = None
        for group in touched:
            group.pump()
        self._changed()

    def over(self, entry: Entry) -> None:
        """A message was acknowledged."""
        group = self._find(entry.group)
        if group is not None:
            group.over(entry.key)
            group.pump()
            self._forget_if_empty(group)
        self._changed()

    def expire(self) -> None:
        """Drop what waits and is of no use any more."""
        for group in self._groups():
            group.expire()
            self._forget_if_empty(group)

    def sizes(self) -> dict[str, dict[str, int]]:
        """Of each queue: messages that wait, and messages in workers' hands."""
        sizes: dict[str, dict[str, int]] = {}
        for group in self._groups():
            size = sizes.setdefault(group.key[1], {"waiting": 0, "held": 0})
            size["waiting"] += group.waiting
            size["held"] += group.held
        return {queue: size for queue, size in sizes.items() if any(size.values())}

    def keys(self, prefix: str) -> set[str]:
        """Of the messages of a namespace that wait, or are in members' hands."""
        groups = (g for g in self._groups() if self.namespaces.prefix_of(g.key[1]) == prefix)
        return {key for group in groups for key in group.keys}

    def stored(self) -> tuple[int, int]:
        """Messages that wait in all queues, and their bytes."""
        groups = list(self._groups())
        return sum(group.waiting for group in groups), sum(group.bytes for group in groups)

    def _groups(self) -> Iterator[QueueGroup]:
        for groups in list(self._queues.values()):
            yield from list(groups.values())

    def _find(self, key: Key | None) -> QueueGroup | None:
        return None if key is None else self._queues.get(key[1], {}).get(key[0])

    def _group(self, key: Key) -> QueueGroup:
        groups = self._queues.setdefault(key[1], {})
        if key[0] not in groups:
            groups[key[0]] = QueueGroup(key, self._context)
        return groups[key[0]]

    def _forget_if_empty(self, group: QueueGroup) -> None:
        name, queue = group.key
        if group.empty and self._queues.get(queue, {}).get(name) is group:
            del self._queues[queue][name]
            if not self._queues[queue]:
                del self._queues[queue]
