"""What each packet of a client means (MQTT 5, chapter 3)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_broker.errors import ProtocolError
from routeq_broker.protocol import acks, framing, publish, reasons, subscribe

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_broker.access.rates import ConnectRates
    from routeq_broker.clients.clients import Clients
    from routeq_broker.clients.login import Login
    from routeq_broker.clients.publishing import Publishing
    from routeq_broker.network.connection import Connection
    from routeq_broker.routing.router import Router
    from routeq_broker.routing.session import Session

log = logging.getLogger(__name__)

_LOBBY = 50
"""Connections beyond the limit that are still told so; more are cut off."""

_SAY_EVERY = 1_000


class Handler:
    """Takes packets from connections to the router.

    Args:
        clients: who come and go.
        router: where messages go.
        login: lets clients in.
        publishing: takes their messages.
        rates: how fast one address may connect.
    """

    def __init__(
        self,
        clients: Clients,
        router: Router,
        *,
        login: Login,
        publishing: Publishing,
        rates: ConnectRates,
    ) -> None:
        self.connections: set[Connection] = set()
        self._clients = clients
        self._router = router
        self._journal = router.context.journal
        self._counters = router.context.counters
        self._limits = router.context.limits
        self._login = login
        self._publishing = publishing
        self._rates = rates
        self._cut = 0

    # -- connections ---------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        """A connection was made."""
        number = len(self.connections)
        self.connections.add(connection)
        self._counters.most_connected = max(self._counters.most_connected, number + 1)
        if number >= self._limits.connections:
            self._turn_away(connection, reasons.QUOTA_EXCEEDED, "connections")
            if number >= self._limits.connections + _LOBBY:
                connection.abort()
        elif not self._rates.allow(connection.address):
            self._turn_away(connection, reasons.CONNECTION_RATE_EXCEEDED, "connect_rate")

    def _turn_away(self, connection: Connection, reason: int, limit: str) -> None:
        connection.refused = reason
        if self._cut % _SAY_EVERY == 0:
            log.warning(
                "peer=%s is turned away, the limit is reached: %s=%g",
                connection.peer, limit, getattr(self._limits, limit),
            )  # fmt: skip
        self._cut += 1

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        session = connection.session
        if session is not None and session.connection is connection:
            self._clients.left(session, polite=connection.polite)

    def unblocked(self, connection: Connection) -> None:
        """A connection takes more again."""
        session = connection.session
        if session is not None and session.connection is connection:
            self._router.room_in(session)

    # -- packets -------------------------------------------------------------------------------

    def packet(
        self, connection: Connection, buffer: bytearray, first: int, start: int, end: int
    ) -> None:
        """One packet, complete.

        Raises:
            ProtocolError: it is malformed, or it must not come now.
        """
        kind, session = first >> 4, connection.session
        if session is None:
            self._login.connect(connection, first, bytes(buffer[start:end]))
        elif kind == framing.PUBLISH:
            packet = publish.read(buffer, first, start, end, mqtt5=connection.mqtt5)
            self._publishing.publish(connection, session, packet)
        elif framing.PUBACK <= kind <= framing.PUBCOMP:
            ack = acks.read(first, bytes(buffer[start:end]), mqtt5=connection.mqtt5)
            self._acknowledge(connection, session, kind, ack)
        else:
            self._rare(connection, session, first, bytes(buffer[start:end]))

    def _acknowledge(
        self, connection: Connection, session: Session, kind: int, ack: acks.Ack
    ) -> None:
        if kind == framing.PUBREL:
            self._publishing.release(connection, session, ack.mid)
        elif kind == framing.PUBREC:
            self._received(connection, session, ack)
        else:
            entry = session.held.get(ack.mid)
            if entry is not None and entry.qos != (1 if kind == framing.PUBACK else 2):
                code = reasons.PROTOCOL_ERROR
                raise ProtocolError("an acknowledgement of another QoS [MQTT-4.3.2-1]", code)
            self._router.acknowledged(session, ack.mid)

    def _received(self, connection: Connection, session: Session, ack: acks.Ack) -> None:
        """A PUBREC: the client has the message; its PUBREL goes out once that is written."""
        entry = session.held.get(ack.mid)
        if entry is None or entry.qos != 2:
            code = reasons.PACKET_IDENTIFIER_NOT_FOUND if connection.mqtt5 else reasons.SUCCESS
            connection.send(acks.encode(framing.PUBREL, ack.mid, code))
            return
        if ack.reason >= reasons.REFUSED:
            self._router.acknowledged(session, ack.mid)
            return
        entry.released = True
        if session.persistent:
            self._journal.save(entry)
        self._journal.then(lambda: connection.release(ack.mid))

    def _rare(self, connection: Connection, session: Session, first: int, body: bytes) -> None:
        kind, mqtt5 = first >> 4, connection.mqtt5
        if kind == framing.PINGREQ:
            if first & 15 or body:
                raise ProtocolError("a PINGREQ is two bytes [MQTT-3.12.1-1]")
            connection.send(framing.PINGRESP)
        elif kind == framing.SUBSCRIBE:
            wanted = subscribe.read_subscribe(first, body, mqtt5=mqtt5)
            self._subscribe(connection, session, wanted)
        elif kind == framing.UNSUBSCRIBE:
            unwanted = subscribe.read_unsubscribe(first, body, mqtt5=mqtt5)
            codes = self._router.unsubscribe(session, unwanted.names)
            answer = subscribe.unsuback(unwanted.mid, codes, mqtt5=mqtt5)
            self._when_safe(connection, session, lambda: connection.send(answer))
        elif kind == framing.DISCONNECT:
            self._disconnect(connection, session, first, body)
        else:
            code = reasons.PROTOCOL_ERROR
            raise ProtocolError(f"a packet of type {kind} must not come from a client now", code)

    def _subscribe(
        self, connection: Connection, session: Session, wanted: subscribe.Subscribe
    ) -> None:
        codes, news = self._router.subscribe(session, wanted.wanted)
        answer = subscribe.suback(wanted.mid, codes, mqtt5=connection.mqtt5)
        session.answering = True

        def safe() -> None:
            connection.send(answer)
            if session.connection is connection:
                session.answering = False
                self._router.greet(session, news)

        self._when_safe(connection, session, safe)

    def _when_safe(
        self, connection: Connection, session: Session, answer: Callable[[], None]
    ) -> None:
        """Answer once what was changed of a session is written; its next packets wait for that."""
        if not session.persistent or self._journal.failing:
            answer()
            return

        def safe() -> None:
            answer()
            connection.proceed()

        connection.hold()
        self._journal.then(safe)

    def _disconnect(
        self, connection: Connection, session: Session, first: int, body: bytes
    ) -> None:
        said = acks.read_disconnect(first, body, mqtt5=connection.mqtt5)
        if said.session_expiry is not None:
            if said.session_expiry and not session.expiry:
                raise ProtocolError(
                    "a session expiry where there was none [MQTT-3.14.2-2]", reasons.PROTOCOL_ERROR
                )
            self._clients.set_expiry(session, said.session_expiry)
        connection.polite = said.reason == reasons.SUCCESS
        connection.close()
