"""Clients come and go: which session is whose, and what becomes of what it held."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from routeq_broker import packets, sql
from routeq_broker.errors import NotAdmitted
from routeq_broker.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routeq_broker.acl import Rights
    from routeq_broker.connection import Connection
    from routeq_broker.journal import Journal, Loaded
    from routeq_broker.policy import RedeliveryPolicy
    from routeq_broker.router import Router

log = logging.getLogger(__name__)


class Clients:
    """See the module.

    Args:
        router: where messages go.
        journal: sessions that outlive the broker are written there.
        policy: knows the payloads.
        grace: seconds for which what a lost client held stays reserved for it.
        window: queue messages that a session may hold that said nothing else.
        rights: what a client of a user may do.
    """

    def __init__(
        self,
        router: Router,
        journal: Journal,
        policy: RedeliveryPolicy,
        *,
        grace: float,
        window: int,
        rights: Callable[[str | None, str], Rights | None],
    ) -> None:
        self.sessions: dict[str, Session] = {}
        self._router = router
        self._journal = journal
        self._policy = policy
        self._grace = grace
        self._window = window
        self._rights = rights

    def load(self, loaded: Loaded, *, grace: float) -> None:
        """Take up what the database had; its sessions have `grace` seconds to come back."""
        self._router.retained = dict(loaded.retained)
        for client_id, window, user in loaded.sessions:
            # One of before there were users may turn out to be anybody's: what it brings is kept
            # until somebody comes, and what that client may not read goes then.
            rights = None if user is None else self._rights(user, client_id)
            session = Session(client_id, clean=False, window=window, user=user, rights=rights)
            self.sessions[client_id] = session
            self._reserve(session, grace)
        for client_id, name, qos in loaded.subscriptions:
            owner = self.sessions.get(client_id)
            if owner is not None and owner.may_subscribe(name):
                self._router.add_subscription(owner, name, qos)
        for entry in loaded.entries:
            entry.key = self._policy.identify(entry.payload) if entry.group else None
        self._router.load(loaded.entries, self.sessions)

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
                self._journal.write(sql.SAVE_SESSION, client_id, session.window, user)
        session.rights = rights
        session.stop_reserving()
        session.connection = connection
        return session, present

    def _give_to(self, session: Session, user: str) -> None:
        """Made before there were users, when it was anybody's: whoever may use its name gets it."""
        session.user = user
        self._journal.write(sql.SAVE_SESSION, session.client_id, session.window, user)
        log.info(
            "client=%s user=%s has its session of before there were users", session.client_id, user
        )

    def _limit(self, session: Session, rights: Rights) -> None:
        """Of before there were rules: as if they had held all the time."""
        session.rights = rights
        for name, qos in list(session.subscriptions.items()):
            self._router.remove_subscription(session, name)  # with the routes that are remembered
            if session.may_subscribe(name):
                self._router.add_subscription(session, name, qos)
            else:
                self._journal.write(sql.DELETE_SUBSCRIPTION, session.client_id, name)
        hidden = [entry for entry in session.held.values() if not rights.may_read(entry.topic)]
        self.give_back(session, [entry.mid for entry in hidden])
        dropped = [entry for entry in hidden if session.drop(entry.mid) is not None]
        dropped += [entry for entry in session.pending if not rights.may_read(entry.topic)]
        session.pending = deque(entry for entry in session.pending if rights.may_read(entry.topic))
        for entry in dropped:
            self._journal.forget(entry)
        if dropped:
            log.warning(
                "client=%s may not read messages=%d that waited for it since before there were "
                "access rules; they are dropped", session.client_id, len(dropped),
            )  # fmt: skip

    def resume(self, session: Session) -> None:
        """What waits for a session that has come (back)."""
        session.resume()
        self._router.room_in(session)

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
            self._journal.forget(entry)
        for name in list(session.subscriptions):
            self._router.remove_subscription(session, name)
        del self.sessions[session.client_id]
        if not session.clean:
            self._journal.write(sql.DELETE_SUBSCRIPTIONS, session.client_id)
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
            if entry is None or entry.group is None:
                continue
            session.drop(mid)
            if lost:
                entry.payload = self._policy.returned(
                    entry.payload, session.client_id, self._router.retained.get
                )
                entry.key = self._policy.identify(entry.payload)
            back.append((entry, entry.group))
        self._router.queues.put_back(back)

    def set_window(self, session: Session, window: int) -> None:
        """A session has room for so many queue messages."""
        session.window = window
        if not session.clean:
            self._journal.write(sql.SAVE_SESSION, session.client_id, window, session.user)
        self._router.room_in(session)
