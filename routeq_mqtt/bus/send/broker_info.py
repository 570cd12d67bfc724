"""What a client finds out about the bus at each connect, and keeps up with afterwards."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.send.scheduler_lookup import SchedulerLookup
from routeq_mqtt.errors import ConnectionFailed, ConnectionLost, UnreadableMessage
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.presence.status import SchedulerStatus
from routeq_mqtt.transport.base import NO_MATCHING_SUBSCRIBERS, SUCCESS
from routeq_mqtt.wire.messages.broker import BrokerStatus, decode_waiting
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.messages.orders import Order

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection, Message

log: logging.Logger = logging.getLogger(__name__)

_REFUSED = 0x80
_MARKER_TIMEOUT = 5.0
"""Seconds until a marker that the broker has taken, and does not give back, counts as hidden."""

_PROBES_LOST = 2
"""Connections in a row that may end at the probe before one goes without it."""


class BrokerInfo:
    """Broker and scheduler as one connection sees them.

    Args:
        topics: of the bus.
        client_id: of the connection.
        deals: what a scheduler has decided itself; None: as the scheduler's status says.

    Attributes:
        truthful: the broker reports 0x10 when there is no subscriber, and only then (MQTT 5).
        shares_queue: it is the embedded broker, which shares ``$queue/<name>`` itself.
        answers_census: it is one that says which jobs it has.
        limits: what it bounds, where it says so.
        scheduler: its retained status, also while it is away; None: none has ever run here.
        deals: the scheduler gives each job to one worker's session, since the broker does not
            share; also while it is away. Its status says so.
        blind: access control hides the answers from us; we trust that ``$queue`` is read.
        waiting: what waits in the embedded broker, for each queue.
        limited: queues whose jobs the scheduler lets go one by one; what goes past it comes back.
        scheduler_changed: fires when something new is known of the scheduler.
    """

    def __init__(self, topics: Topics, client_id: str, *, deals: bool | None = None) -> None:
        self.reports_no_subscribers: bool = False
        self.shares_queue: bool = False
        self.answers_census: bool = False
        self.limits: dict[str, float] = {}
        self.blind: bool = False
        self.scheduler: SchedulerStatus | None = None
        self.waiting: dict[str, int] = {}
        self.limited: set[str] = set()
        self.scheduler_changed: Notifier = Notifier()
        self._topics = topics
        self._decides = deals is not None
        self._deals = topics.sharing == "scheduler" if deals is None else deals
        self._probe = topics.probe(client_id)
        self._lookup = SchedulerLookup(topics, client_id)
        self._marker: asyncio.Future[None] | None = None
        self._probes_lost = 0
        self._complaints = Complaints(log)
        self._read: dict[str, Callable[[bytes], None]] = {
            self._probe: self._fold_probe,
            topics.scheduler: self._fold_scheduler,
            topics.broker: self._fold_broker,
            topics.broker_queues: self._fold_waiting,
        }

    @property
    def deals(self) -> bool:
        """Whether the scheduler gives each job to one session; see the class."""
        return self._deals and not self.shares_queue

    @property
    def scheduler_online(self) -> bool:
        """Whether a scheduler is there now, as far as its status says."""
        return self.scheduler is not None and self.scheduler.state == "online"

    @property
    def trouble(self) -> str:
        """Why the running scheduler does not answer, if its status says so."""
        return self.scheduler.trouble if self.scheduler is not None else ""

    async def look(self, connection: Connection) -> None:
        """Find out; retained messages have arrived once our own marker comes back behind them.

        Where no scheduler's status was among them, it is asked for, but not by a scheduler.

        Raises:
            ConnectionFailed: the broker takes no message of QoS 1.
            ConnectionLost: the connection ended first.
        """
        topics = self._topics
        known = self.scheduler is not None
        self._forget()
        self._marker = asyncio.get_running_loop().create_future()
        needed = (self._probe, topics.broker, topics.broker_queues, topics.scheduler)
        # Who may not read the limits does without: a worker sends such jobs on to the scheduler.
        granted = await connection.subscribe(*needed, topics.order("limited", "+"))
        self.blind = any(code >= _REFUSED for code in granted[: len(needed)])
        if granted[0] >= _REFUSED:
            return
        if granted[0] == 0:
            raise ConnectionFailed(
                "the broker grants QoS 0 only; jobs need QoS 1: allow it (mosquitto: max_qos 1)"
            )
        if self._spare():
            self.blind = True
            return
        heard = connection.publish(self._probe, b"marker")
        unheard = connection.publish(f"{self._probe}/nobody", b"") if connection.mqtt5 else None
        reason = await self._answer(heard)
        if reason >= _REFUSED:
            self.blind = True
            return
        if unheard is not None:
            self.reports_no_subscribers = (
                reason == SUCCESS and await unheard == NO_MATCHING_SUBSCRIBERS
            )
        either: set[asyncio.Future[Any]] = {self._marker, connection.lost}
        done, _ = await asyncio.wait(
            either, timeout=_MARKER_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
        self.blind = self.blind or not done  # mosquitto grants what it will never deliver
        if self.scheduler is None and not (self.blind or self.shares_queue or self._decides):
            await self._lookup.ask(connection, known=known)

    def _spare(self) -> bool:
        """Whether this connection is not probed: the probe has just cost the last one its life."""
        if self._probes_lost < _PROBES_LOST:
            return False
        self._probes_lost = _PROBES_LOST - 1
        return True

    async def _answer(self, heard: asyncio.Future[int]) -> int:
        """What the broker says to the probe.

        One that refuses a message may end the connection, too: mosquitto 2.0.11 behind its PUBACK,
        any broker in its place on MQTT 3.1.1 (3.3.5), where once may also be the network's doing.
        """
        try:
            reason = await heard
        except ConnectionLost:
            self._probes_lost += 1
            raise
        self._probes_lost = _PROBES_LOST if reason >= _REFUSED else 0
        return reason

    def delivery_topic(self, queue: str) -> str:
        """Where the workers of a queue listen on this broker."""
        return self._topics.intake(queue) if self.shares_queue else self._topics.delivery(queue)

    def intake(self, queue: str) -> str:
        """Where anybody may publish a job on this bus."""
        return self._topics.dealt_intake(queue) if self.deals else self._topics.intake(queue)

    def filters(self, queue: str, client_id: str) -> tuple[str, ...]:
        """What one session of a worker subscribes to, to get the jobs of a queue."""
        return (self._topics.deal(client_id),) if self.deals else self._topics.shared(queue)

    def _forget(self) -> None:
        self.reports_no_subscribers = self.shares_queue = self.answers_census = self.blind = False
        self.scheduler = None
        self.waiting = {}
        self.limited.clear()

    def fold(self, message: Message) -> bool:
        """Take a message in; whether it was one of ours, and only ours.

        One that cannot be read changes nothing.
        """
        topics, topic = self._topics, message.topic
        order = topics.order_of(topic)
        answer = self._lookup.awaits(topic)
        if order is None and topic not in self._read and not answer:
            return False
        try:
            if order is not None:
                self._fold_order(*order, message.payload)
            elif answer:
                self._learn(self._lookup.read(message.payload))
            else:
                self._read[topic](message.payload)
        except UnreadableMessage as error:
            self._complaints.note(topic, error)
        return order is None

    def _fold_order(self, kind: str, name: str, payload: bytes) -> None:
        if kind == "limited":
            order = Order.decode(kind, name, payload)
            (self.limited.add if order.holds else self.limited.discard)(order.name)

    def _fold_probe(self, payload: bytes) -> None:
        if self._marker is not None and not self._marker.done():
            self._marker.set_result(None)

    def _fold_scheduler(self, payload: bytes) -> None:
        self._learn(SchedulerStatus.decode(payload) if payload else None)

    def _learn(self, status: SchedulerStatus | None) -> None:
        self.scheduler = status
        if status is not None:
            self._lookup.heard()
        if self.scheduler is not None and not self._decides:
            self._deals = self.scheduler.deals
        self.scheduler_changed.notify()

    def _fold_broker(self, payload: bytes) -> None:
        status = BrokerStatus.decode(payload) if payload else BrokerStatus()
        self.shares_queue, self.answers_census = status.shares_queue, status.census
        self.limits = status.limits

    def _fold_waiting(self, payload: bytes) -> None:
        self.waiting = decode_waiting(payload) if payload else {}
