"""Clients come and go: which session is whose, and what becomes of what it held."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_broker.clients.wills import Wills
from routeq_broker.errors import NotAdmitted
from routeq_broker.protocol import reasons
from routeq_broker.protocol.subscribe import Options
from routeq_broker.routing.backlog import Backlog
from routeq_broker.routing.session import Session
from routeq_broker.storage import sql
from routeq_broker.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routeq_broker.access.acl import Rights
    from routeq_broker.network.connection import Connection
    from routeq_broker.protocol.connect import Connect
    from routeq_broker.routing.router import Router
    from routeq_broker.storage.database import Row, Rows
    from routeq_broker.storage.entry import Entry

log = logging.getLogger(__name__)


class Clients:
    """The connected and known clients, and the sessions that belong to them.

    Args:
        router: where messages go.
        grace: seconds for which what a lost client held stays reserved for it.
        window: queue messages that a session may hold that said nothing else.
        rights: what a client of a user may do.
    """

    def __init__(
        self,
        router: Router,
        *,
        grace: float,
        window: int,
        rights: Callable[[str | None, str], Rights | None],
    ) -> None:
        self.sessions: dict[str, Session] = {}
        self._router = router
        self._context = router.context
        self._journal = router.context.journal
        self._policy = router.context.policy
        self._wills = Wills(router)
        self._grace = grace
        self._window = window
        self._rights = rights

    def load(self, rows: Rows, entries: Sequence[Entry], *, grace: float) -> None:
        """Take up what the database had; its sessions have `grace` seconds to come back."""
        self._router.retained.load(rows.retained)
        for row in rows.sessions:
            self._load_session(row, grace)
        for client_id, name, options, identifier in rows.subscriptions:
            owner = self.sessions.get(client_id)
            if owner is not None and owner.may_subscribe(name):
                self._router.add_subscription(owner, name, Options.decoded(options, identifier))
        for client_id, mid in rows.received:
            owner = self.sessions.get(client_id)
            if owner is not None:
                owner.received.add(mid)
        for entry in entries:
            if entry.group is not None:
                payload, entry.key = self._policy.taken_in(entry.payload)
                if payload != entry.payload:  # taken in by a version that gave no ids
                    entry.payload = payload
                    self._journal.save(entry)
        self._router.load(entries, self.sessions)
        for session in self.sessions.values():
            session.go_on()

    def _load_session(self, row: Row, grace: float) -> None:
        client_id, window, user, expiry, left_at, used = row
        # One of before there were users may turn out to be anybody's: what it brings is kept
        # until somebody comes, and what that client may not read goes then.
        rights = None if user is None else self._rights(user, client_id)
        session = Session(
            client_id, self._context, window=window, expiry=expiry, user=user, rights=rights
        )
        session.saved = True
        session.used = used
        self.sessions[client_id] = session
        self._reserve(session, grace)
        gone = 0.0 if left_at is None else max(0.0, self._context.clock.wall() - left_at)
        self._end_later(session, max(grace, self._granted(expiry) - gone))

    # -- coming --------------------------------------------------------------------------------

    def arrived(
        self,
        connection: Connection,
        client_id: str,
        wanted: Connect,
        *,
        user: str | None = None,
        rights: Rights | None = None,
    ) -> tuple[Session, bool]:
        """A client has connected; its session, and whether that was here already.

        Raises:
            NotAdmitted: the session is somebody else's, with all that waits in it; or there are
                too many.
        """
        session = self._owned(client_id, user)
        if session is None and len(self.sessions) >= self._context.limits.sessions:
            raise NotAdmitted("there are too many sessions", reasons.QUOTA_EXCEEDED)
        if session is not None and session.rights is None and rights is not None:
            self.limit(session, rights)
        if session is not None:
            session = self._taken_over(session, clean=wanted.clean)
        present = session is not None
        expiry = self._granted(wanted.session_expiry)
        if session is None:
            session = Session(
                client_id, self._context, window=self._window, expiry=expiry, user=user
            )
            self.sessions[client_id] = session
        session.expiry = expiry
        session.rights = rights
        session.stop_timers()
        session.will = wanted.will
        session.connection = connection
        if session.persistent:
            self._save(session)
        return session, present

    def _owned(self, client_id: str, user: str | None) -> Session | None:
        session = self.sessions.get(client_id)
        if session is not None and session.user is None and user is not None:
            self._give_to(session, user)
        if session is not None and session.user != user:
            raise NotAdmitted(
                f"the session belongs to {_user(session.user)}, not to {_user(user)}",
                reasons.NOT_AUTHORIZED,
            )
        return session

    def _taken_over(self, session: Session, *, clean: bool) -> Session | None:
        """What is left of a session for a new connection."""
        old = session.connection
        if old is not None:
            session.detach()
            log.info("client=%s is taken over", shown(session.client_id))
            old.close(reasons.SESSION_TAKEN_OVER)  # [MQTT-3.1.4-3]
            if session.will is not None and not session.will.delay:
                self._wills.publish(session)
        if clean or (old is not None and not session.persistent):
            self._end(session)
            return None
        return session

    def _granted(self, expiry: int) -> int:
        return min(expiry, self._context.limits.session_expiry)

    def _save(self, session: Session, left_at: float | None = None) -> None:
        session.saved = True
        self._journal.write(
            sql.SAVE_SESSION, session.client_id, session.window, session.user, session.expiry,
            left_at, session.used,
        )  # fmt: skip

    def _give_to(self, session: Session, user: str) -> None:
        """Made before there were users: the first user who may use its name gets it."""
        session.user = user
        if session.saved:
            self._save(session)
        log.info(
            "client=%s user=%s has its session of before there were users",
            shown(session.client_id), shown(user),
        )  # fmt: skip

    def limit(self, session: Session, rights: Rights) -> None:
        """Rules are new, or have changed: as if they had held all the time."""
        session.rights = rights
        for name in list(session.subscriptions):
            if not session.may_subscribe(name):
                self._router.remove_subscription(session, name)
                self._journal.write(sql.DELETE_SUBSCRIPTION, session.client_id, name)
                log.warning(
                    "client=%s may not subscribe to %s any more",
                    shown(session.client_id), shown(name),
                )  # fmt: skip
        hidden = [entry for entry in session.held.values() if not rights.may_read(entry.topic)]
        self.give_back(session, [entry.mid for entry in hidden])
        dropped = [entry for entry in hidden if session.drop(entry.mid) is not None]
        waiting, session.pending = session.pending, Backlog()
        for entry in waiting:
            if rights.may_read(entry.topic):
                session.pending.append(entry)
            else:
                dropped.append(entry)
        for entry in dropped:
            self._journal.forget(entry)
        if dropped:
            log.warning(
                "client=%s may not read messages=%d that waited for it since before the access "
                "rules; they are dropped", shown(session.client_id), len(dropped),
            )  # fmt: skip

    def reload_rights(self) -> None:
        """Users and rules have changed: all sessions have the rights of now."""
        for session in list(self.sessions.values()):
            rights = self._rights(session.user, session.client_id)
            if rights is None:
                session.rights = None
            else:
                self.limit(session, rights)

    def resume(self, session: Session) -> None:
        """What waits for a session that has come (back)."""
        session.resume()
        self._router.room_in(session)

    # -- leaving -------------------------------------------------------------------------------

    def left(self, session: Session, *, polite: bool) -> None:
        """A client's connection has ended."""
        session.detach()
        if polite:
            session.will = None
        self._wills.fall_due(session)
        if not session.persistent:
            self._end(session)
            return
        self._save(session, self._context.clock.wall())
        self._end_later(session, session.expiry)
        if polite:
            self._return_all(session, lost=False)
        else:
            self._reserve(session, self._grace)

    def set_expiry(self, session: Session, expiry: int) -> None:
        """A DISCONNECT says for how long the session is to be kept."""
        session.expiry = self._granted(expiry)

    def _end_later(self, session: Session, seconds: float) -> None:
        def over() -> None:
            self._context.counters.expired_sessions += 1
            log.info("client=%s did not come back, its session expired", shown(session.client_id))
            self._end(session)

        session.expiring = asyncio.get_running_loop().call_later(seconds, over)

    def _reserve(self, session: Session, grace: float) -> None:
        def over() -> None:
            session.reserved = None
            if session.from_queues:
                log.warning(
                    "client=%s did not come back, jobs=%d",
                    shown(session.client_id), session.from_queues,
                )  # fmt: skip
                self._return_all(session, lost=True)

        session.stop_reserving()
        session.reserved = asyncio.get_running_loop().call_later(grace, over)

    def _end(self, session: Session) -> None:
        self._wills.publish(session)  # [MQTT-3.1.2-8]: the session ends before its delay does
        session.stop_timers()
        self._return_all(session, lost=session.connection is None and session.saved)
        for entry in (*session.held.values(), *session.pending):
            self._router.forget(entry)
        for name in list(session.subscriptions):
            self._router.remove_subscription(session, name)
        del self.sessions[session.client_id]
        if session.saved:
            self._journal.write(sql.DELETE_SUBSCRIPTIONS, session.client_id)
            self._journal.write(sql.DELETE_ALL_RECEIVED, session.client_id)
            self._journal.write(sql.DELETE_SESSION, session.client_id)

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
            if entry is None or entry.group is None or entry.released:
                continue
            key = entry.key
            if lost:  # before it is dropped: what fails here must not lose it
                entry.payload = self._returned(entry, session)
                entry.payload, entry.key = self._policy.taken_in(entry.payload)
            session.drop(mid)
            back.append((entry, key))
        self._router.queues.put_back(back)

    def _returned(self, entry: Entry, session: Session) -> bytes:
        """What the policy makes of a lost client's message; it knows nothing of namespaces."""
        queues, retained = self._router.queues, self._router.retained
        prefix = queues.namespaces.prefix_of(queues.named(entry.topic) or "")
        return self._policy.returned(
            entry.payload,
            session.client_id.removeprefix(prefix),
            lambda topic: retained.get(prefix + topic),
        )

    def set_window(self, session: Session, window: int) -> None:
        """A session has room for this many queue messages."""
        session.window = window
        if session.persistent:
            self._save(session)
        self._router.room_in(session)


def _user(name: str | None) -> str:
    return "nobody" if name is None else shown(name)
