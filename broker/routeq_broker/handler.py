"""What each packet means (MQTT 3.1.1, chapter 3)."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

from routeq_broker import packets
from routeq_broker.errors import NotAdmitted, ProtocolError

if TYPE_CHECKING:
    from routeq_broker.clients import Clients
    from routeq_broker.connection import Connection
    from routeq_broker.doorkeeper import Doorkeeper
    from routeq_broker.router import Router
    from routeq_broker.session import Session

log = logging.getLogger(__name__)

_PROTOCOL_LEVEL = 4
_VERSION_5 = 5


class Handler:
    """Takes packets from connections to the router.

    Args:
        clients: who come and go.
        router: where messages go.
        window_topic: where a session says how many queue messages it may hold at once.
        back_topic: where a session gives queue messages back: their packet ids, two bytes each.
        doorkeeper: who may come in, and what each may do.
    """

    def __init__(
        self,
        clients: Clients,
        router: Router,
        *,
        window_topic: str,
        back_topic: str,
        doorkeeper: Doorkeeper,
    ) -> None:
        self.connections: set[Connection] = set()
        self._clients = clients
        self._router = router
        self._window_topic = window_topic
        self._back_topic = back_topic
        self._doorkeeper = doorkeeper

    def opened(self, connection: Connection) -> None:
        """A connection was made."""
        self.connections.add(connection)

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        session = connection.session
        will = None if connection.polite else connection.will
        if session is not None and session.connection is connection:
            self._clients.left(session, polite=connection.polite)
        if will is not None:
            topic, payload, qos, retain = will
            self._router.publish(topic, payload, qos=qos, retain=retain)

    def unblocked(self, connection: Connection) -> None:
        """A connection takes more again."""
        if connection.session is not None:
            self._router.room_in(connection.session)

    def packet(
        self, connection: Connection, buffer: bytearray, first: int, start: int, end: int
    ) -> None:
        """One packet, complete.

        Raises:
            ProtocolError: it is none, or it must not come now.
        """
        kind = first >> 4
        if connection.session is None:
            if kind != packets.CONNECT:
                raise ProtocolError("the first packet is no CONNECT [3.1.0-1]")
            self._connect(connection, first, bytes(buffer[start:end]))
        elif kind == packets.PUBLISH:
            self._publish(connection, buffer, first, start, end)
        elif kind in {packets.PUBACK, packets.PUBREL}:
            if end - start != 2:
                raise ProtocolError("an acknowledgement has two bytes")
            mid = int.from_bytes(buffer[start:end], "big")
            if kind == packets.PUBACK:
                self._router.acknowledged(connection.session, mid)
            else:
                connection.qos2.discard(mid)
                connection.send(packets.short(packets.PUBCOMP, mid))
        else:
            self._rare(connection, kind, first, bytes(buffer[start:end]))

    def _rare(self, connection: Connection, kind: int, first: int, body: bytes) -> None:
        session = connection.session
        assert session is not None  # noqa: S101 - checked by `packet`
        if kind == packets.PINGREQ:
            connection.send(packets.PINGRESP)
        elif kind == packets.SUBSCRIBE:
            subscribe = packets.read_subscribe(first, body)
            mid = subscribe.variable_header.packet_id
            wanted = [(str(name), int(qos)) for name, qos in subscribe.payload.topics]
            self._router.subscribe(
                session, wanted, lambda codes: connection.send(packets.suback(mid, codes))
            )
        elif kind == packets.UNSUBSCRIBE:
            unsubscribe = packets.read_unsubscribe(first, body)
            self._router.unsubscribe(session, [str(name) for name in unsubscribe.payload.topics])
            connection.send(packets.unsuback(unsubscribe.variable_header.packet_id))
        elif kind == packets.DISCONNECT:
            connection.polite = True
            connection.close()
        else:
            raise ProtocolError(f"a packet of type {kind} must not come from a client now")

    # -- CONNECT -------------------------------------------------------------------------------

    def _connect(self, connection: Connection, first: int, body: bytes) -> None:
        level = body[6] if len(body) > 6 else 0
        if body[2:6] != b"MQTT" or level != _PROTOCOL_LEVEL:
            answer = packets.CONNACK_VERSION_5 if level == _VERSION_5 else None
            connection.send(answer or packets.CONNACK_OLD_VERSION)
            connection.close()
            return
        connect = packets.read_connect(first, body)
        header, payload = connect.variable_header, connect.payload
        client_id = payload.client_id or ""
        if not client_id or getattr(payload, "client_id_is_random", False):
            if not header.clean_session_flag:
                connection.send(packets.CONNACK_BAD_ID)  # [3.1.3-8]
                connection.close()
                return
            client_id = f"auto-{uuid.uuid4().hex}"
        try:
            session, present = self._admit(connection, connect, client_id)
        except NotAdmitted as error:
            log.warning("client=%s peer=%s refused: %s", client_id, connection.peer, error)
            connection.send(packets.refusal(error.code))
            connection.close()
            return
        connection.session = session
        connection.send(packets.connack(session_present=present))
        connection.keep_alive(header.keep_alive)
        self._clients.resume(session)

    def _admit(
        self, connection: Connection, connect: packets.Connect, client_id: str
    ) -> tuple[Session, bool]:
        header, payload = connect.variable_header, connect.payload
        password = payload.password.encode() if payload.password is not None else None
        user = self._doorkeeper.admit(payload.username, password, connection.certified)
        rights = self._doorkeeper.rights(user, client_id)
        if not self._doorkeeper.may_be(client_id, rights):
            raise NotAdmitted(f"user={user!r} may not use this identifier", packets.NOT_AUTHORIZED)
        will = None
        if header.will_flag:
            will = (
                str(payload.will_topic),
                bytes(payload.will_message or b""),
                min(header.will_qos, 1),
                bool(header.will_retain_flag),
            )
            if rights is not None and not rights.may_write(will[0]):
                raise NotAdmitted(
                    f"user={user!r} may not write its Last Will to {will[0]!r}",
                    packets.NOT_AUTHORIZED,
                )
        clean = bool(header.clean_session_flag)
        arrived = self._clients.arrived(
            connection, client_id, clean=clean, user=user, rights=rights
        )
        connection.will = will
        return arrived

    # -- PUBLISH -------------------------------------------------------------------------------

    def _publish(
        self, connection: Connection, buffer: bytearray, first: int, start: int, end: int
    ) -> None:
        topic, payload, mid = packets.read_publish(buffer, first, start, end)
        qos = first >> 1 & 3
        if not self._may_publish(connection, topic, qos):
            return
        if topic == self._window_topic:
            self._set_window(connection, payload)
        elif topic == self._back_topic:
            self._give_back(connection, payload)
        elif qos < 2 or mid not in connection.qos2:
            self._router.publish(topic, payload, qos=min(qos, 1), retain=bool(first & 1))
        if qos == 2:
            connection.qos2.add(mid)
        if qos:
            answer = packets.short(packets.PUBACK if qos == 1 else packets.PUBREC, mid)
            self._router.journal.then(lambda: connection.send(answer))

    def _may_publish(self, connection: Connection, topic: str, qos: int) -> bool:
        """MQTT 3.1.1 has no refusal: acknowledge, or close the connection [3.3.5-2].

        An acknowledged job that nobody keeps would be a lost one: so the connection is closed.
        """
        session = connection.session
        rights = session.rights if session is not None else None
        if rights is None or rights.may_write(topic):
            return True
        user = session.user if session is not None else None
        log.warning("client=%s user=%s may not write %r", connection.client_id, user, topic)
        if qos:
            connection.close()
        return False

    def _set_window(self, connection: Connection, payload: bytes) -> None:
        session = connection.session
        if session is not None and payload.isdigit() and int(payload) <= 60_000:
            self._clients.set_window(session, int(payload))
        else:
            log.warning("client=%s window=%r is no number", connection.client_id, payload[:20])

    def _give_back(self, connection: Connection, payload: bytes) -> None:
        session = connection.session
        if session is not None and len(payload) % 2 == 0:
            mids = [int.from_bytes(payload[at : at + 2], "big") for at in range(0, len(payload), 2)]
            self._clients.give_back(session, mids)
        else:
            log.warning("client=%s back=%r: no packet ids", connection.client_id, payload[:20])
