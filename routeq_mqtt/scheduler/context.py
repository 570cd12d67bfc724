"""What the scheduler's roles share: the store, the connection, the fleet and the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConnectionLost
from routeq_mqtt.security.guard import OPEN, Guard
from routeq_mqtt.signal import Signal
from routeq_mqtt.wire.names import is_device_queue
from routeq_mqtt.wire.packing import pack

if TYPE_CHECKING:
    from routeq_mqtt.bus.surroundings import Surroundings
    from routeq_mqtt.presence.fleet import Fleet
    from routeq_mqtt.scheduler.calendar import SteadyClock
    from routeq_mqtt.scheduler.orders import OrderBook
    from routeq_mqtt.scheduler.results import Results
    from routeq_mqtt.scheduler.store import Store
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.link import Link
    from routeq_mqtt.transport.seam import Connection

log = logging.getLogger(__name__)

Hook = Callable[[str], None]


def no_hook(step: str) -> None:
    """Do nothing at a step; tests kill the process there."""


@dataclass(slots=True)
class Context:
    """See the module.

    Attributes:
        guard: signs what the scheduler makes, and again what an operator retries.
        bridged: queues that a bridge of the broker takes elsewhere.
        hook: called at each step that a fault test may want to die at.
        parked: fires when there may be something to feed.
        limited: there may be jobs that wait for their turn.
        expiring: there may be jobs that expire.
        delayed: fires when something may be due earlier than the releaser thinks.
        fleet_changed: fires when a worker came, went or changed.
        unsaid: answers to requests that waited for us, and came before the connection was set up.
    """

    store: Store
    orders: OrderBook
    results: Results
    topics: Topics
    clock: SteadyClock
    fleet: Fleet
    surroundings: Surroundings
    hook: Hook = no_hook
    guard: Guard = OPEN
    bridged: tuple[str, ...] = ()
    parked: Signal = field(default_factory=Signal)
    limited: bool = True
    expiring: bool = True
    delayed: Signal = field(default_factory=Signal)
    fleet_changed: Signal = field(default_factory=Signal)
    unsaid: list[tuple[str, bytes]] = field(default_factory=list)
    link: Link = field(init=False)

    def delivery(self, queue: str) -> str:
        """Where the workers of a queue listen on this broker."""
        return self.surroundings.delivery_topic(queue)

    def is_bridged(self, topic: str) -> bool:
        """Whether a bridge holds what was published to an intake."""
        prefix = self.topics.intake_prefix
        if not self.bridged or not topic.startswith(prefix):
            return False
        return any(fnmatchcase(topic[len(prefix) :], name) for name in self.bridged)

    def has_home(self, queue: str) -> bool:
        """Whether what is published for a queue is held by somebody else than us, and should be.

        A device's own queue has none while the device is away: here its jobs expire in time.
        """
        if self.surroundings.shares_queue and not is_device_queue(queue):
            return not self.orders.has("paused", queue)
        return self.is_served(queue)

    def is_served(self, queue: str) -> bool:
        """Whether workers start jobs of a queue now; if not, a turn would be given too early."""
        return not self.orders.has("paused", queue) and any(
            not self.orders.has("drained", worker.id, worker.name)
            for worker in self.fleet.online(queue)
        )

    async def publish_all(self, messages: Sequence[tuple[str, bytes]]) -> list[int | None]:
        """Publish in order, pipelined; each message's reason, None where the connection broke."""
        return await (await self.link.ready()).publish_many(messages)

    def reply(self, request: dict[str, Any], *, result: object = None, error: str = "") -> None:
        """Answer a request; one without a reply topic wants no answer."""
        topic, connection = request.get("reply"), self.link.connection
        if not isinstance(topic, str) or not topic:
            return
        answer: dict[str, object] = {"id": request.get("id")}
        answer |= {"error": error} if error else {"result": result}
        if connection is None:
            self.unsaid.append((topic, pack(answer)))
        else:
            connection.publish(topic, pack(answer))

    def reply_late(self, connection: Connection) -> None:
        """Say what could not be said while there was no connection."""
        for topic, answer in self.unsaid:
            connection.publish(topic, answer)
        self.unsaid.clear()

    async def say(self, topic: str, payload: bytes) -> None:
        """Publish a retained message and wait for its PUBACK, over reconnects."""
        while True:
            connection = await self.link.ready()
            try:
                await connection.publish(topic, payload, retain=True)
            except ConnectionLost:
                continue
            return
