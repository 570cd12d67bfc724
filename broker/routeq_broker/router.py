"""Where messages go: to queues, to subscribers, and what sessions do with them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from typing import TYPE_CHECKING

from routeq_broker import packets, sql
from routeq_broker.entry import Entry
from routeq_broker.errors import NotAdmitted
from routeq_broker.matching import is_valid_filter, matches, split_share
from routeq_broker.queues import Queues
from routeq_broker.session import Session
from routeq_broker.subscribers import Subscribers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routeq_broker.acl import Rights
    from routeq_broker.connection import Connection
    from routeq_broker.journal import Journal, Loaded
    from routeq_broker.policy import RedeliveryPolicy

log = logging.getLogger(__name__)

_REFUSED = 0x80


class Router:
    """See the module.

    Args:
        journal: what must outlive the broker is written there.
        policy: knows the payloads.
        queue_prefix: of the topics that are queues.
        grace: seconds for which what a lost client held stays reserved for it.
        window: queue messages that a session may hold that said nothing else.
        changed: called when what waits in the queues has changed.
        rights: what a client of a user may do.
    """

    def __init__(
        self,
        journal: Journal,
        policy: RedeliveryPolicy,
        *,
        queue_prefix: str,
        grace: float,
        window: int,
        changed: Callable[[], None],
        rights: Callable[[str | None, str], Rights | None],
    ) -> None:
        self.journal = journal
        self.sessions: dict[str, Session] = {}
        self.queues = Queues(journal, policy, queue_prefix, changed)
        self.retained: dict[str, bytes] = {}
        self._policy = policy
        self._grace = grace
        self._window = window
        self._rights = rights
        self._numbers = itertools.count(1)
        self._subscribers = Subscribers()

    # -- restart -------------------------------------------------------------------------------

    def load(self, loaded: Loaded, *, grace: float) -> None:
        """Take up what the database had; its sessions have `grace` seconds to come back."""
        self.retained = dict(loaded.retained)
        for client_id, window, user in loaded.sessions:
            # One of before there were users may turn out to be anybody's: what it brings is kept
            # until somebody comes, and what that client may not read goes then.
            rights = None if user is None else self._rights(user, client_id)
            session = Session(client_id, clean=False, window=window, user=user, rights=rights)
            self.sessions[client_id] = session
            self._reserve(session, grace)
        for client_id, name, qos in loaded.subscriptions:
            owner = self.sessions.get(client_id)
            if owner is not None and _may_subscribe(owner.rights, name, split_share(name)):
                self._add_subscription(owner, name, qos)
        for entry in loaded.entries:
            entry.key = self._policy.identify(entry.payload) if entry.group else None
            self._load_entry(entry)
        last = loaded.entries[-1].number if loaded.entries else 0
        self._numbers = itertools.count(last + 1)

    def _load_entry(self, entry: Entry) -> None:
        session = self.sessions.get(entry.owner) if entry.owner is not None else None
        if entry.group is not None:
            self.queues.load(entry, entry.group, session if entry.mid else None)
        elif session is not None and entry.mid:
            session.adopt(entry)
        elif session is not None:
            session.pending.append(entry)
        else:
            self.journal.forget(entry)

    # -- clients come and go -------------------------------------------------------------------

    def arrived(
        self,
        connection: Connection,
        client_id: str,
        *,
        clean: bool,
        user: str | None = None,
        rights: Rights | None = None,
    ) -> tuple[Session, bool]:
        """A client has connected; its session, and whether that was here already.

        Raises:
            NotAdmitted: the session is somebody else's, with all that waits in it.
        """
        session = self.sessions.get(client_id)
        if session is not None and session.user is None and user is not None:
            self._give_to(session, user)
        if session is not None and session.user != user:
            raise NotAdmitted(
                f"the session {client_id!r} belongs to {session.user!r}, not to {user!r}",
                packets.NOT_AUTHORIZED,
            )
        if session is not None and session.rights is None and rights is not None:
            self._limit(session, rights)
        if session is not None and session.connection is not None:
            old, session.connection = session.connection, None
            log.info("client=%s is taken over", client_id)  # [3.1.4-2]
            old.close()
            if session.clean:
                self._end(session)
                session = None
        if session is not None and clean:
            self._end(session)
            session = None
        present = session is not None
        if session is None:
            session = Session(client_id, clean=clean, window=self._window, user=user)
            self.sessions[client_id] = session
            if not clean:
                self.journal.write(sql.SAVE_SESSION, client_id, session.window, user)
        session.rights = rights
        session.stop_reserving()
        session.connection = connection
        return session, present

    def _give_to(self, session: Session, user: str) -> None:
        """Made before there were users, when it was anybody's: whoever may use its name gets it."""
        session.user = user
        self.journal.write(sql.SAVE_SESSION, session.client_id, session.window, user)
        log.info(
            "client=%s user=%s has its session of before there were users", session.client_id, user
        )

    def _limit(self, session: Session, rights: Rights) -> None:
        """Of before there were rules: as if they had held all the time."""
        session.rights = rights
        for name, qos in list(session.subscriptions.items()):
            self._remove_subscription(session, name)  # with the routes that are remembered
            if _may_subscribe(rights, name, split_share(name)):
                self._add_subscription(session, name, qos)
            else:
                self.journal.write(sql.DELETE_SUBSCRIPTION, session.client_id, name)
        hidden = [entry for entry in session.held.values() if not rights.may_read(entry.topic)]
        self.give_back(session, [entry.mid for entry in hidden])
        dropped = [entry for entry in hidden if session.drop(entry.mid) is not None]
        dropped += [entry for entry in session.pending if not rights.may_read(entry.topic)]
        session.pending = deque(entry for entry in session.pending if rights.may_read(entry.topic))
        for entry in dropped:
            self.journal.forget(entry)
        if dropped:
            log.warning(
                "client=%s may not read messages=%d that waited for it since before there were "
                "access rules; they are dropped", session.client_id, len(dropped),
            )  # fmt: skip

    def resume(self, session: Session) -> None:
        """What waits for a session that has come (back)."""
        session.resume()
        self.room_in(session)

    def left(self, session: Session, *, polite: bool) -> None:
        """A client's connection has ended."""
        session.connection = None
        if session.clean:
            self._end(session)
        elif polite:
            self._return_all(session, lost=False)
        else:
            self._reserve(session, self._grace)

    def _reserve(self, session: Session, grace: float) -> None:
        def over() -> None:
            session.reserved = None
            if session.from_queues:
                log.warning(
                    "client=%s did not come back, jobs=%d", session.client_id, session.from_queues
                )
                self._return_all(session, lost=True)

        session.stop_reserving()
        session.reserved = asyncio.get_running_loop().call_later(grace, over)

    def _end(self, session: Session) -> None:
        session.stop_reserving()
        self._return_all(session, lost=session.connection is None and not session.clean)
        for entry in (*session.held.values(), *session.pending):
            self.journal.forget(entry)
        for name in list(session.subscriptions):
            self._remove_subscription(session, name)
        del self.sessions[session.client_id]
        if not session.clean:
            self.journal.write(sql.DELETE_SUBSCRIPTIONS, session.client_id)
            self.journal.write(sql.DELETE_SESSION, session.client_id)

    def _return_all(self, session: Session, *, lost: bool) -> None:
        """What a session held of the queues goes back to their groups."""
        self.give_back(session, list(session.held), lost=lost)

    def give_back(self, session: Session, mids: Sequence[int], *, lost: bool = False) -> None:
        """These queue messages of a session wait again, at their old places.

        Args:
            session: that holds them; what it does not hold (any more) is left out.
            mids: their packet ids.
            lost: the session's client was lost: the policy rewrites them.
        """
        back = []
        for mid in mids:
            entry = session.held.get(mid)
            if entry is None or entry.group is None:
                continue
            session.drop(mid)
            if lost:
                entry.payload = self._policy.returned(
                    entry.payload, session.client_id, self.retained.get
                )
                entry.key = self._policy.identify(entry.payload)
            back.append((entry, entry.group))
        self.queues.put_back(back)

    def set_window(self, session: Session, window: int) -> None:
        """A session has room for so many queue messages."""
        session.window = window
        if not session.clean:
            self.journal.write(sql.SAVE_SESSION, session.client_id, window, session.user)
        self.room_in(session)

    def room_in(self, session: Session) -> None:
        """A session may have got room."""
        session.pump()
        self.queues.room_in(session)

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
            valid = valid and _may_subscribe(session.rights, name, share)
            codes.append(min(qos, 1) if valid else _REFUSED)
            if valid:
                self._add_subscription(session, name, min(qos, 1))
                if not session.clean:
                    self.journal.write(sql.SAVE_SUBSCRIPTION, session.client_id, name, min(qos, 1))
        answer(codes)
        for (name, _), code in zip(wanted, codes, strict=True):
            if code != _REFUSED and split_share(name) is None:
                self._send_retained(session, name, code)
        self.room_in(session)

    def _add_subscription(self, session: Session, name: str, qos: int) -> None:
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
                self._remove_subscription(session, name)
                if not session.clean:
                    self.journal.write(sql.DELETE_SUBSCRIPTION, session.client_id, name)

    def _remove_subscription(self, session: Session, name: str) -> None:
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


def _may_subscribe(rights: Rights | None, name: str, share: tuple[str, str] | None) -> bool:
    """A filter with wildcards may be held by anybody: what it brings is checked by topic."""
    if rights is None:
        return True
    if share is not None:
        return rights.may_share(share[1])
    return "+" in name or "#" in name or rights.may_read(name)
