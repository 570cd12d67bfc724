"""What each packet means (MQTT 3.1.1, chapter 3)."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

from routeq_broker import packets
from routeq_broker.errors import ProtocolError

if TYPE_CHECKING:
    from routeq_broker.connection import Connection
    from routeq_broker.router import Router

log = logging.getLogger(__name__)

_PROTOCOL_LEVEL = 4
_VERSION_5 = 5


class Handler:
    """Takes packets from connections to the router.

    Args:
        router: where messages go.
        window_topic: where a session says how many queue messages it has room for.
    """

    def __init__(self, router: Router, *, window_topic: str) -> None:
        self.connections: set[Connection] = set()
        self._router = router
        self._window_topic = window_topic

    def opened(self, connection: Connection) -> None:
        """A connection was made."""
        self.connections.add(connection)

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        session = connection.session
        will = None if connection.polite else connection.will
        if session is not None and session.connection is connection:
            self._router.left(session, polite=connection.polite)
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
        if header.will_flag:
            connection.will = (
                str(payload.will_topic),
                bytes(payload.will_message or b""),
                min(header.will_qos, 1),
                bool(header.will_retain_flag),
            )
        session, present = self._router.arrived(
            connection, client_id, clean=bool(header.clean_session_flag)
        )
        connection.session = session
        connection.send(packets.connack(session_present=present))
        connection.keep_alive(header.keep_alive)
        self._router.resume(session)

    # -- PUBLISH -------------------------------------------------------------------------------

    def _publish(
        self, connection: Connection, buffer: bytearray, first: int, start: int, end: int
    ) -> None:
        topic, payload, mid = packets.read_publish(buffer, first, start, end)
        qos = first >> 1 & 3
        if topic == self._window_topic:
            self._set_window(connection, payload)
        elif qos < 2 or mid not in connection.qos2:
            self._router.publish(topic, payload, qos=min(qos, 1), retain=bool(first & 1))
        if qos == 2:
            connection.qos2.add(mid)
        if qos:
            answer = packets.short(packets.PUBACK if qos == 1 else packets.PUBREC, mid)
            self._router.journal.then(lambda: connection.send(answer))

    def _set_window(self, connection: Connection, payload: bytes) -> None:
        session = connection.session
        if session is not None and payload.isdigit() and 0 < int(payload) <= 60_000:
            self._router.set_window(session, int(payload))
        else:
            log.warning("client=%s window=%r is no number", connection.client_id, payload[:20])
