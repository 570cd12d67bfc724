"""PUBLISH from clients, and the answers that promise safety."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from routeq_broker.errors import ProtocolError
from routeq_broker.protocol import acks, framing, reasons
from routeq_broker.routing.filters import matches
from routeq_broker.storage import sql
from routeq_broker.storage.entry import Message
from routeq_broker.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routeq_broker.clients.clients import Clients
    from routeq_broker.network.connection import Connection
    from routeq_broker.protocol.publish import Publish
    from routeq_broker.routing.router import Router
    from routeq_broker.routing.session import Session

log = logging.getLogger(__name__)

_LARGEST_WINDOW = 60_000


class Publishing:
    """Handles PUBLISH from clients, and acknowledges it once it is safe.

    Args:
        clients: whose windows change.
        router: where messages go.
        status_topic: below it are, in each namespace, ``/window``, where a session says how many
            queue messages it may hold at once, ``/back``, where it gives queue messages back: their
            packet ids, two bytes each, and ``/census``, where somebody asks what the queues have.
        guaranteed: filters of topics, beside the queues, on which no QoS 1 message is
            acknowledged that no subscriber could take: MQTT 3.1.1 has no refusal, so there the
            connection ends instead.
    """

    def __init__(
        self,
        clients: Clients,
        router: Router,
        *,
        status_topic: str,
        guaranteed: Sequence[str],
    ) -> None:
        self._clients = clients
        self._router = router
        self._journal = router.context.journal
        self._counters = router.context.counters
        self._limits = router.context.limits
        self._clock = router.context.clock
        prefixes = router.queues.namespaces.prefixes
        self._orders: dict[str, Callable[[Session, bytes], None]] = {}
        for prefix in prefixes:
            own = f"{prefix}{status_topic}"
            self._orders[f"{own}/window"] = self._set_window
            self._orders[f"{own}/back"] = self._give_back
            self._orders[f"{own}/census"] = partial(self._answer, prefix)
        self._guaranteed = tuple(prefix + name for prefix in prefixes for name in guaranteed)

    def publish(self, connection: Connection, session: Session, packet: Publish) -> None:
        """A PUBLISH.

        Raises:
            ProtocolError: its topic alias is not valid, or more are unacknowledged than allowed.
        """
        self._counters.published += 1
        topic = self._topic(connection, packet)
        qos, mid = packet.qos, packet.mid
        if qos == 0:
            self._take(connection, session, topic, packet)
            return
        if qos == 2 and mid in session.received:  # [MQTT-4.3.3-10]: taken before
            self._answer_later(connection, acks.encode(framing.PUBREC, mid), 0)
            return
        if connection.unanswered + len(session.received) >= self._limits.inflight:
            raise ProtocolError(
                "more unacknowledged messages than the Receive Maximum [MQTT-3.3.4-7]",
                reasons.RECEIVE_MAXIMUM_EXCEEDED,
            )
        changes = self._journal.changes
        reason = self._take(connection, session, topic, packet)
        if reason >= reasons.REFUSED and not self._may_answer(connection, topic, reason):
            return
        if not connection.mqtt5:
            reason = reasons.SUCCESS
        if qos == 2 and reason < reasons.REFUSED:
            session.received.add(mid)
            if session.persistent:
                self._journal.write(sql.SAVE_RECEIVED, session.client_id, mid)
        answer = acks.encode(framing.PUBACK if qos == 1 else framing.PUBREC, mid, reason)
        # A copy that is dropped writes nothing, and yet stands for one that may not be written yet.
        queue = self._router.queues.named(topic) is not None
        kept = reason < reasons.REFUSED and (queue or self._journal.changes != changes)
        if kept or connection.unanswered:  # answers keep the order [MQTT-4.6.0-2]
            self._answer_later(connection, answer, len(packet.payload) + 100)
        else:
            connection.send(answer)

    def _answer_later(self, connection: Connection, answer: bytes, size: int) -> None:
        """Once what was taken is safe."""

        def safe() -> None:
            connection.unanswered -= 1
            connection.hold_back(-size)
            connection.send(answer)

        connection.unanswered += 1
        connection.hold_back(size)
        self._journal.then(safe)

    def _may_answer(self, connection: Connection, topic: str, reason: int) -> bool:
        """Whether a refusal is told; MQTT 3.1.1 has none but the end of the connection [3.3.5-2].

        An acknowledged message that is not kept anywhere would be lost.
        """
        if connection.mqtt5:
            return True
        lost = self._router.queues.named(topic) is not None or any(
            matches(name, topic) for name in self._guaranteed
        )
        if reason == reasons.QUOTA_EXCEEDED and not lost:
            return True  # dropped, as everywhere, and counted
        log.warning("client=%s topic=%s refused, closing", connection.client_id, shown(topic))
        connection.close()
        return False

    def _topic(self, connection: Connection, packet: Publish) -> str:
        alias = packet.alias
        if not alias:
            return packet.topic
        if alias > self._limits.topic_aliases:
            raise ProtocolError(f"topic alias {alias} is too high", reasons.TOPIC_ALIAS_INVALID)
        if packet.topic:
            connection.aliases_in[alias] = packet.topic
            return packet.topic
        topic = connection.aliases_in.get(alias)
        if topic is None:
            raise ProtocolError(f"topic alias {alias} is not known", reasons.PROTOCOL_ERROR)
        return topic

    def _take(self, connection: Connection, session: Session, topic: str, packet: Publish) -> int:
        if not self._may_publish(session, topic):
            log.warning(
                "client=%s user=%s may not write %s",
                connection.client_id, shown(session.user or ""), shown(topic),
            )  # fmt: skip
            return reasons.NOT_AUTHORIZED
        order = self._orders.get(topic)
        if order is not None:
            order(session, packet.payload)
            return reasons.SUCCESS
        expires = None if packet.expiry is None else self._clock.monotonic() + packet.expiry
        message = Message(
            topic, packet.payload, packet.qos, packet.retain, packet.properties, expires
        )
        return self._router.publish(message, session)

    def _may_publish(self, session: Session, topic: str) -> bool:
        if topic.startswith("$SYS/"):
            return False
        return session.rights is None or session.rights.may_write(topic)

    def release(self, connection: Connection, session: Session, mid: int) -> None:
        """A PUBREL: the message is over, its packet id free once that is safe."""
        known = mid in session.received
        session.received.discard(mid)
        if known and session.saved:
            self._journal.write(sql.DELETE_RECEIVED, session.client_id, mid)
        unknown = connection.mqtt5 and not known
        reason = reasons.PACKET_IDENTIFIER_NOT_FOUND if unknown else reasons.SUCCESS
        self._answer_later(connection, acks.encode(framing.PUBCOMP, mid, reason), 0)

    def _set_window(self, session: Session, payload: bytes) -> None:
        if len(payload) <= 5 and payload.isdigit() and int(payload) <= _LARGEST_WINDOW:
            self._clients.set_window(session, int(payload))
        else:
            log.warning(
                "client=%s window=%r is not a number", shown(session.client_id), payload[:20]
            )

    def _answer(self, prefix: str, session: Session, question: bytes) -> None:
        self._router.answer(question, prefix)

    def _give_back(self, session: Session, payload: bytes) -> None:
        if len(payload) % 2 == 0:
            mids = [int.from_bytes(payload[at : at + 2], "big") for at in range(0, len(payload), 2)]
            self._clients.give_back(session, mids)
        else:
            log.warning("client=%s back=%r: no packet ids", shown(session.client_id), payload[:20])
