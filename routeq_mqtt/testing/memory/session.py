"""What the broker in memory keeps for one client identifier."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.testing.memory.memory_network import Wire
    from routeq_mqtt.testing.memory.packets import Publish
    from routeq_mqtt.transport.base import Will

LAST_PACKET_ID = 0xFFFF


@dataclass(slots=True)
class Session:
    """The session of one client identifier in the broker in memory.

    Attributes:
        client_id: whose it is.
        mqtt5: what its connection speaks.
        persistent: it outlives its connection.
        expiry: seconds for which it does; None: without an end.
        expires_at: when an offline one ends, by the broker's clock; None: never.
        plain: its plain subscriptions, filter to granted QoS.
        in_flight: sent and not acknowledged, by packet id, in the order sent.
        queued: not yet sent.
        limit: how many may be in flight; None: no limit.
        wire: its connection; None while it is offline.
        will: of its connection.
        packet_ids: the highest packet id; 1 follows it.
    """

    client_id: str
    mqtt5: bool = True
    persistent: bool = False
    expiry: float | None = None
    expires_at: float | None = None
    plain: dict[str, int] = field(default_factory=dict)
    in_flight: dict[int, Publish] = field(default_factory=dict)
    queued: deque[Publish] = field(default_factory=deque)
    limit: int | None = None
    wire: Wire | None = None
    will: Will | None = None
    packet_ids: int = LAST_PACKET_ID
    _packet_id: int = 0

    def give(self, message: Publish, *, most_queued: int | None) -> None:
        """Send a message, or queue it; past `most_queued` it is dropped, as mosquitto does."""
        if message.qos == 0:
            if self.wire is not None:
                self.wire.down.send(message)
        elif self.wire is not None and not self.queued and self._has_room():
            self._send(message)
        elif most_queued is None or len(self.queued) < most_queued:
            self.queued.append(message)

    def resume(self) -> None:
        """After a reconnect: what is not acknowledged once more, with DUP; then the queue."""
        assert self.wire is not None  # noqa: S101 - called by CONNECT alone
        for packet_id, message in list(self.in_flight.items()):
            again = replace(message, dup=True)
            self.in_flight[packet_id] = again
            self.wire.down.send(again)
        self._drain()

    def acknowledge(self, packet_id: int) -> None:
        """A PUBACK, in whichever order."""
        if self.in_flight.pop(packet_id, None) is not None:
            self._drain()

    def saved(self) -> Session:
        """As a file has it: offline, without what belongs to a connection."""
        return replace(
            self,
            plain=dict(self.plain),
            in_flight=dict(self.in_flight),
            queued=deque(self.queued),
            limit=None,
            wire=None,
            will=None,
        )

    def _has_room(self) -> bool:
        return len(self.in_flight) < min(self.packet_ids, self.limit or self.packet_ids)

    def _drain(self) -> None:
        while self.wire is not None and self.queued and self._has_room():
            self._send(self.queued.popleft())

    def _send(self, message: Publish) -> None:
        self._packet_id = self._packet_id % self.packet_ids + 1
        while self._packet_id in self.in_flight:
            self._packet_id = self._packet_id % self.packet_ids + 1
        sent = replace(message, packet_id=self._packet_id)
        self.in_flight[sent.packet_id] = sent
        assert self.wire is not None  # noqa: S101 - the callers looked
        self.wire.down.send(sent)
