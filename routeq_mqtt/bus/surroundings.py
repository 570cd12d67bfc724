"""What a client finds out about the bus at each connect, and keeps up with afterwards."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConnectionLost
from routeq_mqtt.presence.status import SchedulerStatus, decode
from routeq_mqtt.signal import Signal
from routeq_mqtt.transport.seam import NO_MATCHING_SUBSCRIBERS, SUCCESS

if TYPE_CHECKING:
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.seam import Connection, Message

_REFUSED = 0x80
_MARKER_TIMEOUT = 5.0
"""Seconds until a marker that the broker has taken, and does not give back, counts as hidden."""

_PROBES_LOST = 2
"""Connections in a row that may end at the probe before one goes without it."""


class Surroundings:
    """Broker and scheduler as one connection sees them.

    Attributes:
        truthful: the broker says 0x10 when nobody is subscribed, and only then (MQTT 5).
        shares_queue: it is the embedded broker, which shares ``$queue/<name>`` itself.
        scheduler: its retained status, also while it is away; None: none has ever run here.
        blind: access control hides the answers from us; we trust that ``$queue`` is read.
        waiting: what waits in the embedded broker, for each queue.
        limited: queues whose jobs the scheduler lets go one by one; what goes past it comes back.
        scheduler_changed: fires when something new is known of the scheduler.
    """

    def __init__(self, topics: Topics, client_id: str) -> None:
        self.truthful = False
        self.shares_queue = False
        self.blind = False
        self.scheduler: SchedulerStatus | None = None
        self.waiting: dict[str, int] = {}
        self.limited: set[str] = set()
        self.scheduler_changed = Signal()
        self._topics = topics
        self._probe = topics.probe(client_id)
        self._marker: asyncio.Future[None] | None = None
        self._probes_lost = 0

    @property
    def scheduler_online(self) -> bool:
        """Whether a scheduler is there now, as far as its status says."""
        return self.scheduler is not None and self.scheduler.state == "online"

    async def look(self, connection: Connection) -> None:
        """Find out; retained messages have arrived once our own marker comes back behind them."""
        topics = self._topics
        self._forget()
        self._marker = asyncio.get_running_loop().create_future()
        needed = (self._probe, topics.broker, topics.broker_queues, topics.scheduler)
        # Who may not read the limits does without: a worker sends such jobs on to the scheduler.
        granted = await connection.subscribe(*needed, topics.order("limited", "+"))
        self.blind = any(code >= _REFUSED for code in granted[: len(needed)])
        if granted[0] >= _REFUSED:
            return
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
            self.truthful = reason == SUCCESS and await unheard == NO_MATCHING_SUBSCRIBERS
        either: set[asyncio.Future[Any]] = {self._marker, connection.lost}
        done, _ = await asyncio.wait(
            either, timeout=_MARKER_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
        self.blind = self.blind or not done  # mosquitto grants what it will never deliver

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

    def _forget(self) -> None:
        self.truthful = self.shares_queue = self.blind = False
        self.scheduler = None
        self.waiting = {}
        self.limited.clear()

    def fold(self, message: Message) -> bool:
        """Take a message in; whether it was one of ours, and of nobody else's."""
        topics = self._topics
        order = topics.order_of(message.topic)
        if order is not None:
            if order[0] == "limited":
                (self.limited.add if message.payload else self.limited.discard)(order[1])
            return False
        if message.topic == self._probe:
            if self._marker is not None and not self._marker.done():
                self._marker.set_result(None)
        elif message.topic == topics.scheduler:
            self.scheduler = decode(SchedulerStatus, message.payload) if message.payload else None
            self.scheduler_changed.fire()
        elif message.topic == topics.broker:
            self.shares_queue = bool(_json_map(message.payload).get("shares_queue"))
        elif message.topic == topics.broker_queues:
            queues = _json_map(message.payload)
            self.waiting = {
                name: int(sizes.get("waiting", 0))
                for name, sizes in queues.items()
                if isinstance(sizes, dict)
            }
        else:
            return False
        return True


def _json_map(payload: bytes) -> dict[str, object]:
    try:
        value = json.loads(payload) if payload else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
