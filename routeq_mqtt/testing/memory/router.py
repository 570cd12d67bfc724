"""Who gets a message: plain subscriptions, share groups in strict round robin, retained ones."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.testing.memory.matching import is_valid, matches, split_share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routeq_mqtt.testing.memory.packets import Publish
    from routeq_mqtt.testing.memory.session import Session

_INVALID = 0x8F
"""SUBACK: the filter is not valid (MQTT 5, 3.9.3)."""


class Router:
    """Sessions by client identifier, their groups, and the retained messages."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, Publish] = {}
        self._groups: dict[tuple[str, str], deque[tuple[Session, int]]] = {}

    def subscribe(self, session: Session, name: str, qos: int) -> int:
        """Add a subscription; the granted QoS, or a reason why not."""
        share = split_share(name)
        if not is_valid(share[1] if share is not None else name):
            return _INVALID
        if share is None:
            session.plain[name] = qos
            return qos
        members = self._groups.setdefault(share, deque())
        if all(member is not session for member, _ in members):
            members.append((session, qos))
        return qos

    def unsubscribe(self, session: Session, name: str) -> None:
        """Take a subscription away; what is queued for it stays queued."""
        share = split_share(name)
        if share is None:
            session.plain.pop(name, None)
        else:
            self._leave(share, session)

    def remove(self, session: Session) -> None:
        """A session ends, with all that it holds: mosquitto gives nothing to the other members."""
        del self.sessions[session.client_id]
        for share in list(self._groups):
            self._leave(share, session)

    def _leave(self, share: tuple[str, str], session: Session) -> None:
        members = self._groups.get(share, deque())
        left = deque(pair for pair in members if pair[0] is not session)
        if left:
            self._groups[share] = left
        else:
            self._groups.pop(share, None)

    def keep(self, message: Publish) -> None:
        """Keep a retained message; an empty one clears its topic."""
        if message.payload:
            self.retained[message.topic] = replace(message, dup=False, packet_id=0)
        else:
            self.retained.pop(message.topic, None)

    def retained_for(self, name: str) -> list[Publish]:
        """Retained messages that a plain subscription gets at once."""
        if split_share(name) is not None:
            return []
        return [message for topic, message in self.retained.items() if matches(name, topic)]

    def receivers(self, topic: str) -> Iterator[tuple[Session, int]]:
        """Each session that gets a message, with the QoS of its subscription.

        Strict round robin over all members of a group, offline ones included, at publish time. A
        group on ``$…`` never gets anything: mosquitto keeps shared filters under its plain root.
        """
        if not topic.startswith("$"):
            for (_, name), members in self._groups.items():
                if matches(name, topic):
                    yield members[0]
                    members.rotate(-1)
        for session in self.sessions.values():
            for name, qos in session.plain.items():
                if matches(name, topic):
                    yield session, qos
