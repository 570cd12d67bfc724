"""Who subscribes to topics, alone or in a shared group."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from routeq_broker.routing.filters import split_share
from routeq_broker.routing.tree import FilterTree
from routeq_broker.storage.entry import encode_ids

if TYPE_CHECKING:
    from routeq_broker.protocol.subscribe import Options
    from routeq_broker.routing.session import Session


class Route(NamedTuple):
    """How one session gets one message.

    Attributes:
        qos: at most.
        as_published: with the publisher's RETAIN flag.
        ids: encoded subscription identifiers.
    """

    session: Session
    qos: int
    as_published: bool
    ids: bytes


class _Filter:
    """What there is of one filter."""

    __slots__ = ("groups", "plain")

    def __init__(self) -> None:
        self.plain: dict[Session, Options] = {}
        self.groups: dict[str, dict[Session, Options]] = {}


class Subscribers:
    """The subscriptions to topics, alone or in shared groups."""

    def __init__(self) -> None:
        self._filters: FilterTree[_Filter] = FilterTree()

    @property
    def filters(self) -> int:
        """How many filters there are."""
        return len(self._filters)

    def add(self, session: Session, name: str, options: Options) -> None:
        """A session subscribes to a filter, or changes how."""
        share = split_share(name)
        inner = name if share is None else share[1]
        known = self._filters.get(inner)
        if known is None:
            known = _Filter()
            self._filters.set(inner, known)
        if share is None:
            known.plain[session] = options
        else:
            known.groups.setdefault(share[0], {})[session] = options

    def remove(self, session: Session, name: str) -> None:
        """It does so no more."""
        share = split_share(name)
        inner = name if share is None else share[1]
        known = self._filters.get(inner)
        if known is None:
            return
        if share is None:
            known.plain.pop(session, None)
        elif share[0] in known.groups:
            members = known.groups[share[0]]
            members.pop(session, None)
            if not members:
                del known.groups[share[0]]
        if not known.plain and not known.groups:
            self._filters.remove(inner)

    def of(self, topic: str, publisher: Session | None = None) -> list[Route]:
        """Who gets a message of a topic: each session once, and one member of each shared group.

        Args:
            topic: of the message.
            publisher: gets nothing through a subscription with no-local.
        """
        found = self._filters.matching(topic)
        if not found:
            return []
        merged: dict[Session, list[Options]] = {}
        shared: list[Route] = []
        for known in found:
            for session, options in known.plain.items():
                if not (options.no_local and session is publisher) and session.may_read(topic):
                    merged.setdefault(session, []).append(options)
            for members in known.groups.values():
                chosen = _choose(members, topic)
                if chosen is not None:
                    shared.append(_route(chosen, [members[chosen]]))
        return [_route(session, options) for session, options in merged.items()] + shared


def _route(session: Session, options: list[Options]) -> Route:
    if len(options) == 1:
        [one] = options
        ids = encode_ids((one.identifier,)) if one.identifier else b""
        return Route(session, one.qos, one.as_published, ids)
    return Route(
        session,
        max(one.qos for one in options),
        any(one.as_published for one in options),
        encode_ids(sorted({one.identifier for one in options})),
    )


def _choose(members: dict[Session, Options], topic: str) -> Session | None:
    """The member whose turn it is: one that is connected and keeps up, if there is one.

    With all of them away, one whose session outlives its connection gets it for later.
    """
    best: tuple[int, Session] | None = None
    for session in members:
        if not session.may_read(topic):
            continue
        rank = _rank(session)
        if rank and (best is None or rank > best[0]):
            best = (rank, session)
            if rank == _READY:
                break
    if best is None:
        return None
    options = members.pop(best[1])
    members[best[1]] = options  # behind the others
    return best[1]


_READY = 3


def _rank(session: Session) -> int:
    if session.connection is None:
        return 1 if session.persistent else 0
    return 2 if session.connection.full else _READY
