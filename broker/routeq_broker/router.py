"""Where messages go: to queues and to subscribers."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from routeq_broker import packets, sql
from routeq_broker.entry import Entry
from routeq_broker.matching import is_valid_filter, matches, split_share
from routeq_broker.queues import Queues
from routeq_broker.subscribers import Subscribers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from routeq_broker.journal import Journal
    from routeq_broker.policy import RedeliveryPolicy
    from routeq_broker.session import Session

_REFUSED = 0x80


class Router:
    """See the module.

    Args:
        journal: what must outlive the broker is written there.
        policy: knows the payloads.
        queue_prefix: of the topics that are queues.
        changed: called when what waits in the queues has changed.
    """

    def __init__(
        self,
        journal: Journal,
        policy: RedeliveryPolicy,
        *,
        queue_prefix: str,
        changed: Callable[[], None],
    ) -> None:
        self.journal = journal
        self.queues = Queues(journal, policy, queue_prefix, changed)
        self.retained: dict[str, bytes] = {}
        self._numbers = itertools.count(1)
        self._subscribers = Subscribers()

    def load(self, entries: Sequence[Entry], sessions: Mapping[str, Session]) -> None:
        """Take up messages that the database had, in order."""
        for entry in entries:
            session = sessions.get(entry.owner) if entry.owner is not None else None
            if entry.group is not None:
                self.queues.load(entry, entry.group, session if entry.mid else None)
            elif session is not None and entry.mid:
                session.adopt(entry)
            elif session is not None:
                session.pending.append(entry)
            else:
                self.journal.forget(entry)
        self._numbers = itertools.count(entries[-1].number + 1 if entries else 1)

    # -- subscriptions -------------------------------------------------------------------------

    def subscribe(
        self,
        session: Session,
        wanted: Sequence[tuple[str, int]],
        answer: Callable[[list[int]], None],
    ) -> None:
        """Add subscriptions; `answer` gets the granted QoS of each, before what they bring."""
        codes = []
        for name, qos in wanted:
            share = split_share(name)
            valid = is_valid_filter(name) and (share is None or (all(share) and qos > 0))
            valid = valid and session.may_subscribe(name)
            codes.append(min(qos, 1) if valid else _REFUSED)
            if valid:
                self.add_subscription(session, name, min(qos, 1))
                if not session.clean:
                    self.journal.write(sql.SAVE_SUBSCRIPTION, session.client_id, name, min(qos, 1))
        answer(codes)
        for (name, _), code in zip(wanted, codes, strict=True):
            if code != _REFUSED and split_share(name) is None:
                self._send_retained(session, name, code)
        self.room_in(session)

    def add_subscription(self, session: Session, name: str, qos: int) -> None:
        """A session gets what matches a filter, from now on."""
        session.subscriptions[name] = qos
        key = self.queues.key_of(name)
        if key is not None:
            self.queues.join(key, session)
        else:
            self._subscribers.add(session, name, qos)

    def unsubscribe(self, session: Session, names: Sequence[str]) -> None:
        """Remove subscriptions; what the session holds stays with it."""
        for name in names:
            if name in session.subscriptions:
                self.remove_subscription(session, name)
                if not session.clean:
                    self.journal.write(sql.DELETE_SUBSCRIPTION, session.client_id, name)

    def remove_subscription(self, session: Session, name: str) -> None:
        """A session does not any more; routes that are remembered are forgotten."""
        session.subscriptions.pop(name, None)
        key = self.queues.key_of(name)
        if key is not None:
            self.queues.leave(key, session)
        else:
            self._subscribers.remove(session, name)

    def _send_retained(self, session: Session, name: str, qos: int) -> None:
        for topic, payload in self.retained.items():
            if matches(name, topic) and session.may_read(topic):
                self._give_plain(session, topic, payload, qos, retain=True)

    def room_in(self, session: Session) -> None:
        """A session may have got room."""
        session.pump()
        self.queues.room_in(session)

    # -- messages ------------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool = False) -> None:
        """Take a message in; safe once the journal says so."""
        queue = self.queues.named(topic)
        if queue is not None:
            self.queues.put(queue, topic, payload, self._numbers.__next__)
        elif topic.startswith("$"):
            return  # no topic of ours [4.7.2]
        elif retain:
            self._retain(topic, payload)
        for session, granted in self._subscribers.of(topic):
            self._give_plain(session, topic, payload, min(qos, granted))
        for session in self._subscribers.chosen(topic):
            self._give_plain(session, topic, payload, 1)

    def _retain(self, topic: str, payload: bytes) -> None:
        if payload:
            self.retained[topic] = payload
            self.journal.write(sql.RETAIN, topic, payload)
        elif self.retained.pop(topic, None) is not None:
            self.journal.write(sql.UNRETAIN, topic)

    def _give_plain(
        self, session: Session, topic: str, payload: bytes, qos: int, *, retain: bool = False
    ) -> None:
        if qos == 0 or retain:
            if session.connection is not None and not session.connection.blocked:
                session.connection.send(
                    packets.publish(topic.encode(), payload, qos=0, dup=False, retain=retain, mid=0)
                )
            return
        if session.connection is None and session.clean:
            return
        entry = Entry(next(self._numbers), topic, payload, owner=session.client_id)
        session.pending.append(entry)
        if not session.clean:
            self.journal.save(entry)
        session.pump()

    def acknowledged(self, session: Session, mid: int) -> None:
        """A PUBACK."""
        entry = session.drop(mid)
        if entry is None:
            return
        self.journal.forget(entry)
        self.queues.over(entry)
        session.pump()
