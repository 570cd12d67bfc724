"""What the broker counts of itself, below `$SYS/broker/`, as metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from routeq_mqtt.scheduler.observe.exposition import family

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.transport.base import Connection, Message

_PREFIX = "$SYS/broker/"
_NUMBER = re.compile(rb"\d{1,18}(\.\d{1,9})?( seconds)?")


class _Metric(NamedTuple):
    """A metric, and which topic has its value for which value of its only label."""

    name: str
    kind: Literal["counter", "gauge"]
    about: str
    label: str
    topics: dict[str, str]


_METRICS = (
    _Metric("uptime_seconds", "gauge", "How long the broker has run.", "", {"": "uptime"}),
    _Metric(
        "clients", "gauge", "Clients of the broker: connected, or with a session only.", "state",
        {"connected": "clients/connected", "disconnected": "clients/disconnected"},
    ),
    _Metric(
        "packets_total", "counter", "MQTT packets of all kinds.", "direction",
        {"received": "messages/received", "sent": "messages/sent"},
    ),
    _Metric(
        "messages_total", "counter", "Published messages.", "direction",
        {"received": "publish/messages/received", "sent": "publish/messages/sent"},
    ),
    _Metric(
        "dropped_messages_total", "counter",
        "Messages that the broker kept from a subscriber: its queue was full.", "",
        {"": "publish/messages/dropped"},
    ),
    _Metric(
        "bytes_total", "counter", "Bytes on the broker's connections.", "direction",
        {"received": "bytes/received", "sent": "bytes/sent"},
    ),
    _Metric(
        "stored_messages", "gauge", "Messages that wait in the broker, or are retained.", "",
        {"": "store/messages/count"},
    ),
    _Metric("stored_bytes", "gauge", "Size of these.", "", {"": "store/messages/bytes"}),
    _Metric(
        "retained_messages", "gauge", "Retained messages.", "", {"": "retained messages/count"}
    ),
    _Metric("subscriptions", "gauge", "Subscriptions of all clients.", "",
            {"": "subscriptions/count"}),
)  # fmt: skip

_TOPICS = [_PREFIX + topic for metric in _METRICS for topic in metric.topics.values()]


class BrokerCounters:
    """Keeps the last values of one connection.

    A broker without `$SYS`, and one whose access rules keep it from the scheduler, has none. Where
    the scheduler deals, it does not ask for them.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._values: dict[str, float] = {}

    async def subscribe(self, connection: Connection) -> None:
        """Ask for them, at QoS 0: else brokers collect each value while the scheduler is away.

        Raises:
            ConnectionLost: the connection ended first.
        """
        self._values.clear()
        if self._context.surroundings.deals:
            return  # a broker that shares nothing may end a connection that asks for `$…`
        await connection.subscribe(*_TOPICS, qos=0)

    def heard(self, message: Message) -> bool:
        """Take a message in; whether it was of the broker. What is not a number is left out."""
        if not message.topic.startswith(_PREFIX):
            return False
        topic = message.topic[len(_PREFIX) :]
        if _PREFIX + topic in _TOPICS and _NUMBER.fullmatch(message.payload):
            self._values[topic] = float(message.payload.split()[0])
        return True

    def lines(self) -> list[str]:
        """The metrics that the broker has a value for; none while it is away."""
        found: list[str] = []
        if self._context.link.connection is None:
            return found
        for metric in _METRICS:
            samples = [
                ({metric.label: label} if metric.label else {}, self._values[topic])
                for label, topic in metric.topics.items()
                if topic in self._values
            ]
            if samples:
                found += family(f"routeq_broker_{metric.name}", metric.kind, metric.about, samples)
        return found
