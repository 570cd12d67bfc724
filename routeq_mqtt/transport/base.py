"""The seam to MQTT: all that the bus, the workers and the scheduler know of a client.

Two implementations pass one contract: `routeq_mqtt.transport.aio` (aiomqtt over a socket) and
`routeq_mqtt.testing` (a broker in memory). A `Connection` is one network connection and never
reconnects; `routeq_mqtt.transport.reconnecting` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

SUCCESS = 0x00
"""PUBACK reason: at least one subscriber gets the message (MQTT 5, 3.4.2.1)."""

NO_MATCHING_SUBSCRIBERS = 0x10
"""PUBACK reason: no subscriber, the broker dropped the message (MQTT 5, 3.4.2.1)."""

PACKET_TOO_LARGE = 0x95
"""Reason of a message that is larger than the broker takes (MQTT 5, 3.2.2.3.6): it is not sent."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when this connection ends without a DISCONNECT."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How one connection introduces itself.

    Attributes:
        client_id: the MQTT client identifier; the session belongs to it.
        persistent: keep the session at the broker when the connection ends. Never mixed with a
            clean start: mosquitto 2.0 forgets such a session when it restarts.
        session_expiry: seconds a persistent session outlives its connection (MQTT 5).
        keep_alive: seconds; the broker gives us up after 1.5 times that.
        receive_maximum: unacknowledged messages that we accept at once (MQTT 5); None: no limit.
        will: the last will.
    """

    client_id: str
    persistent: bool = False
    session_expiry: int = 0
    keep_alive: int = 30
    receive_maximum: int | None = None
    will: Will | None = None


class Message:
    """A PUBLISH that arrived. Acknowledge it on the connection that brought it."""

    __slots__ = ("dup", "packet_id", "payload", "qos", "retain", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
    ) -> None:
        self.topic: str = topic
        self.payload: bytes = payload
        self.qos: int = qos
        self.retain: bool = retain
        self.dup: bool = dup
        self.packet_id: int = packet_id

    def __repr__(self) -> str:
        flags = "".join(c for c, on in (("d", self.dup), ("r", self.retain)) if on)
        return f"<Message {self.topic} q{self.qos}{flags} #{self.packet_id} {len(self.payload)} B>"


OnMessage = Callable[[Message], None]
"""Called for each PUBLISH, in order, from the event loop; must not raise and must not block."""


class Connection(Protocol):
    """One live MQTT connection.

    Attributes:
        session_present: the broker had kept a session for this client identifier (CONNACK).
        mqtt5: MQTT 5 was agreed; else 3.1.1, where a PUBACK carries no reason.
        lost: done as soon as the connection has ended, for whatever cause, ours included. Its
            result is the cause; it never raises.
    """

    @property
    def session_present(self) -> bool: ...  # noqa: D102 - see the class
    @property
    def mqtt5(self) -> bool: ...  # noqa: D102 - see the class
    @property
    def lost(self) -> asyncio.Future[BaseException | None]: ...  # noqa: D102 - see the class

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> asyncio.Future[int]:
        """Send a message; the future's result is the PUBACK reason (0 at once for QoS 0).

        A message that is larger than the broker said to take is not sent: 0x95 at once.

        The future raises `ConnectionLost` when the connection ends first; the message may have
        arrived all the same. Never blocks: keep to `room()` to bound what is in flight.
        """
        ...

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> list[int | None]:
        """Publish topics and payloads at QoS 1, in order and pipelined within the window.

        Returns each PUBACK's reason; None where the connection ended first: that one may have
        arrived. Costs less than as many calls of `publish`: no task waits for a single message.
        """
        ...

    async def room(self) -> None:
        """Wait until fewer messages are in flight than the window allows."""
        ...

    async def subscribe(
        self, *filters: str, qos: int = 1, retained_if_new: bool = False
    ) -> list[int]:
        """Subscribe to all filters at once; the granted QoS or a refusal (>= 0x80) for each.

        Args:
            filters: to subscribe to.
            qos: at most.
            retained_if_new: retained messages come only with a subscription that the session does
                not have yet (MQTT 5, 3.8.3.1, Retain Handling 1); on MQTT 3.1.1 they always come.
        """
        ...

    async def unsubscribe(self, *filters: str) -> None:
        """Unsubscribe from all filters at once."""
        ...

    def flush(self) -> None:
        """Hand to the kernel now what was published so far, not with the rest of this turn."""
        ...

    def acknowledge(self, message: Message) -> None:
        """Send the PUBACK for a QoS 1 message of this connection; nothing once it is lost."""
        ...

    def pause(self) -> None:
        """Stop reading: the broker and the network hold what comes. Idempotent."""
        ...

    def resume(self) -> None:
        """Read again. Idempotent."""
        ...

    async def close(self, *, end_session: bool = False) -> None:
        """DISCONNECT, gracefully: no Last Will.

        Args:
            end_session: also end a persistent session, with all that it holds (session expiry 0;
                on MQTT 3.1.1 by one more connect with a clean session).
        """
        ...


class Transport(Protocol):
    """Makes connections to one broker."""

    async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
        """Connect, and hand every message to `on_message`; it may be called before this returns.

        Raises:
            ConnectionFailed: the broker was not reached in time, or refused; says why.
        """
        ...
