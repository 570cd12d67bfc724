"""Who subscribes to topics that are no queues, alone or in a shared group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_broker.matching import matches, split_share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routeq_broker.session import Session


_MOST_ROUTES = 10_000
"""Topics whose subscribers are remembered; whoever makes up topics does not fill our memory."""


class Subscribers:
    """See the module."""

    def __init__(self) -> None:
        self._plain: dict[str, dict[Session, int]] = {}
        self._shared: dict[tuple[str, str], dict[Session, None]] = {}
        self._routes: dict[str, list[tuple[Session, int]]] = {}

    def add(self, session: Session, name: str, qos: int) -> None:
        """A session subscribes to a filter."""
        self._routes.clear()
        share = split_share(name)
        if share is not None:
            self._shared.setdefault(share, {})[session] = None
        else:
            self._plain.setdefault(name, {})[session] = qos

    def remove(self, session: Session, name: str) -> None:
        """It does so no more."""
        self._routes.clear()
        share = split_share(name)
        if share is not None:
            self._shared.get(share, {}).pop(session, None)
        else:
            self._plain.get(name, {}).pop(session, None)

    def of(self, topic: str) -> list[tuple[Session, int]]:
        """Who gets a message of a topic for itself, and the QoS that was granted at most."""
        routes = self._routes.get(topic)
        if routes is None:
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            routes = self._routes[topic] = self._route(topic)
        return routes

    def chosen(self, topic: str) -> Iterator[Session]:
        """Of each shared group, the member whose turn it is; only those that are connected."""
        for (_, name), members in self._shared.items():
            if members and matches(name, topic):
                for session in list(members):
                    if session.connection is not None:
                        del members[session]
                        members[session] = None  # behind the others
                        yield session
                        break

    def _route(self, topic: str) -> list[tuple[Session, int]]:
        found: dict[Session, int] = {}
        for name, subscribers in self._plain.items():
            if matches(name, topic):
                for session, qos in subscribers.items():
                    if session.may_read(topic):
                        found[session] = max(qos, found.get(session, 0))
        return list(found.items())
