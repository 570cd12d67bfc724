"""Retained messages, found by filter without a look at all of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_broker.routing.tree import has_wildcard
from routeq_broker.storage import sql
from routeq_broker.storage.entry import Message
from routeq_broker.storage.journal import monotonic, wall
from routeq_broker.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from routeq_broker.clock import Clock
    from routeq_broker.options import Limits
    from routeq_broker.storage.database import Row
    from routeq_broker.storage.journal import Journal

log = logging.getLogger(__name__)

_LEVELS_AT_ONCE = 500
"""Levels of topics that one filter is compared with before other clients have their turn."""


class _Level:
    __slots__ = ("children", "topic")

    def __init__(self) -> None:
        self.children: dict[str, _Level] = {}
        self.topic: str | None = None


class Retained:
    """The retained messages, in a tree of topic levels.

    Args:
        journal: keeps them over a restart.
        limits: how many, and how many bytes.
        clock: when one expires.
    """

    def __init__(self, journal: Journal, limits: Limits, clock: Clock) -> None:
        self.bytes = 0
        self.refused = 0
        self._journal = journal
        self._limits = limits
        self._clock = clock
        self._messages: dict[str, Message] = {}
        self._own: set[str] = set()
        self._root = _Level()

    def __len__(self) -> int:
        return len(self._messages)

    def get(self, topic: str) -> bytes | None:
        """The payload that is retained for a topic."""
        message = self._live(topic)
        return None if message is None else message.payload

    def load(self, rows: Iterable[Row]) -> None:
        """Take up what the database had."""
        for topic, payload, qos, properties, expires in rows:
            deadline = monotonic(expires, self._clock)
            self._put(Message(topic, bytes(payload), qos, True, bytes(properties), deadline))

    def keep(self, message: Message, *, volatile: bool = False) -> bool:
        """Replace what is retained for a topic; an empty payload removes it.

        Args:
            message: to retain.
            volatile: the broker's own word on itself; it is not written, and no limit holds.

        Returns:
            Whether there was room.
        """
        topic = message.topic
        if not message.payload:
            if self._drop(topic) and not volatile:
                self._journal.write(sql.UNRETAIN, topic)
            return True
        if not (volatile or self._has_room(message)):
            if self.refused % 1_000 == 0:
                log.warning(
                    "topic=%s cannot be retained, the limit is reached: messages=%d bytes=%d",
                    shown(topic), len(self), self.bytes,
                )  # fmt: skip
            self.refused += 1
            return False
        self._put(message)
        if volatile:
            self._own.add(topic)
        else:
            deadline = wall(message.expires, self._clock)
            values = (topic, message.payload, message.qos, message.properties, deadline)
            self._journal.write(sql.RETAIN, *values)
        return True

    def _has_room(self, message: Message) -> bool:
        old = self._messages.get(message.topic)
        number = len(self) - len(self._own) + (old is None)
        size = self.bytes + _size(message) - (_size(old) if old is not None else 0)
        limits = self._limits
        if size > limits.retained_bytes:
            size -= sum(_size(self._messages[topic]) for topic in self._own)
        return number <= limits.retained_messages and size <= limits.retained_bytes

    def matching(self, name: str) -> Iterator[Message | None]:
        """What is retained for the topics that match a filter; may be read slowly.

        None among the messages: many levels were looked at, others should have their turn.
        """
        if not has_wildcard(name):
            message = self._live(name)
            if message is not None:
                yield message
            return
        for topic in self._topics(name.split("/")):
            message = None if topic is None else self._live(topic)
            if topic is None or message is not None:
                yield message

    def expire(self) -> None:
        """Forget what is of no use any more."""
        for topic in [topic for topic, one in self._messages.items() if one.expires is not None]:
            self._live(topic)

    def _live(self, topic: str) -> Message | None:
        message = self._messages.get(topic)
        if message is None or message.expires is None or message.expires > self._clock.monotonic():
            return message
        self._drop(topic)
        self._journal.write(sql.UNRETAIN, topic)
        return None

    def _put(self, message: Message) -> None:
        old = self._messages.get(message.topic)
        if old is not None:
            self.bytes -= _size(old)
        else:
            level = self._root
            for part in message.topic.split("/"):
                level = level.children.setdefault(part, _Level())
            level.topic = message.topic
        self._messages[message.topic] = message
        self.bytes += _size(message)

    def _drop(self, topic: str) -> bool:
        old = self._messages.pop(topic, None)
        if old is None:
            return False
        self.bytes -= _size(old)
        path, level = [], self._root
        for part in topic.split("/"):
            path.append((level, part))
            level = level.children[part]
        level.topic = None
        for parent, part in reversed(path):
            child = parent.children[part]
            if child.children or child.topic is not None:
                break
            del parent.children[part]
        return True

    def _topics(self, parts: list[str]) -> Iterator[str | None]:
        """Topics that match, and None where other clients should have their turn.

        What changes during a slow reading may or may not be among them.
        """
        todo: list[tuple[_Level, int]] = [(self._root, 0)]
        looked = 0
        while todo:
            level, depth = todo.pop()
            looked += 1
            if looked % _LEVELS_AT_ONCE == 0:
                yield None
            part = parts[depth] if depth < len(parts) else None
            if part in {None, "#"} and level.topic is not None:
                yield level.topic
            if part is not None:
                todo.extend((child, depth + (part != "#")) for child in self._below(level, part))

    def _below(self, level: _Level, part: str) -> list[_Level]:
        """The levels that one part of a filter leads to, last one first."""
        if part not in {"+", "#"}:
            child = level.children.get(part)
            return [] if child is None else [child]
        if level is not self._root:
            return list(reversed(level.children.values()))
        # A leading wildcard does not match what begins with a $ [MQTT-4.7.2-1].
        below = level.children.items()
        return [child for name, child in reversed(below) if not name.startswith("$")]


def _size(message: Message) -> int:
    return len(message.topic) + len(message.payload) + len(message.properties)
