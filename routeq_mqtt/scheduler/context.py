"""What the scheduler's roles share: the store, the connection, the fleet and the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.reply_limit import LARGE, ReplyLimit
from routeq_mqtt.security.guard import OPEN, Guard
from routeq_mqtt.transport.base import PACKET_TOO_LARGE
from routeq_mqtt.wire.names import is_device_queue

if TYPE_CHECKING:
    import asyncio

    from routeq_mqtt.bus.send.broker_info import BrokerInfo
    from routeq_mqtt.presence.fleet import Fleet
    from routeq_mqtt.scheduler.clock import StableClock
    from routeq_mqtt.scheduler.store.orders import OrderBook
    from routeq_mqtt.scheduler.store.results import Results
    from routeq_mqtt.scheduler.store.sessions import Sessions
    from routeq_mqtt.scheduler.store.store import Store
    from routeq_mqtt.scheduler.store.tokens import Tokens
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.reconnecting import Link
    from routeq_mqtt.wire.messages.asking import ReplyTo

log: logging.Logger = logging.getLogger(__name__)

Hook = Callable[[str], None]


def no_hook(step: str) -> None:
    """Do nothing at a step; tests kill the process there."""


@dataclass(slots=True)
class Context:
    """The store, connection, fleet and clock that the scheduler's roles share.

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
    sessions: Sessions
    topics: Topics
    clock: StableClock
    fleet: Fleet
    surroundings: BrokerInfo
    hook: Hook = no_hook
    guard: Guard = OPEN
    bridged: tuple[str, ...] = ()
    parked: Notifier = field(default_factory=Notifier)
    limited: bool = True
    expiring: bool = True
    delayed: Notifier = field(default_factory=Notifier)
    fleet_changed: Notifier = field(default_factory=Notifier)
    unsaid: list[tuple[ReplyTo, object, str]] = field(default_factory=list)
    replies: ReplyLimit = field(init=False)
    link: Link = field(init=False)

    def __post_init__(self) -> None:
        self.replies = ReplyLimit(self.clock)

    @property
    def tokens(self) -> Tokens:
        """Of the rows of this scheduler's database."""
        return self.store.database.tokens

    def speaks_for(self, key: str, row: str | None) -> bool:
        """Whether a worker that reports on a row was given it.

        One of an earlier version does not say so; while there is any, its word counts.
        """
        if row is None:
            return self.fleet.has_earlier_version()
        return self.tokens.fits(key, row)

    def delivery(self, queue: str) -> str:
        """Where the workers of a queue listen on this broker."""
        return self.surroundings.delivery_topic(queue)

    def is_bridged(self, topic: str) -> bool:
        """Whether a bridge holds what was published to an intake."""
        around, topics = self.surroundings, self.topics
        prefix = topics.dealt_prefix if around.deals else topics.intake_prefix
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

    def served(self) -> frozenset[str]:
        """Queues of which workers start jobs now."""
        return frozenset(
            queue
            for worker in self.fleet.online()
            if not self.orders.has("drained", worker.id, worker.name)
            for queue in worker.queues
            if not self.orders.has("paused", queue)
        )

    def is_served(self, queue: str) -> bool:
        """Whether workers start jobs of a queue now; if not, a turn would be given too early."""
        return not self.orders.has("paused", queue) and any(
            not self.orders.has("drained", worker.id, worker.name)
            for worker in self.fleet.online(queue)
        )

    async def publish_all(self, messages: Sequence[tuple[str, bytes]]) -> list[int | None]:
        """Publish in order, pipelined; each message's reason, None where the connection broke."""
        return await (await self.link.ready()).publish_many(messages)

    def reply(self, reply: ReplyTo, *, result: object = None, error: str = "") -> None:
        """Answer a request; one without a reply topic wants no answer.

        In the bus's own topics we publish nothing for others but replies.
        """
        topic, connection = reply.topic, self.link.connection
        if topic is None or not self._is_for_replies(topic):
            return
        answer = reply.encode(result=result, error=error)
        if not error and self.replies.refuses(len(answer)):
            self.reply(reply, error=_cut(len(answer)))
            return
        if connection is None:
            self.unsaid.append((reply, result, error))
        else:
            sent = connection.publish(topic, answer)
            if not error and sent.done() and _is_too_large(sent):
                self.reply(reply, error=_cut(len(answer)))
            else:
                self._follow(sent, len(answer), (reply, result, error))

    def _follow(
        self, sent: asyncio.Future[int], size: int, answer: tuple[ReplyTo, object, str]
    ) -> None:
        """A large answer that the connection ended at is sent once more, and then cut."""

        def ended(sent: asyncio.Future[int]) -> None:
            if self.replies.ended(sent, size):
                self.unsaid.append(answer)

        if size >= LARGE:
            sent.add_done_callback(ended)

    def _is_for_replies(self, topic: str) -> bool:
        return topic.startswith(self.topics.reply("")) or self.topics.is_foreign(topic)

    def reply_late(self) -> None:
        """Say what could not be said while there was no connection."""
        unsaid, self.unsaid = self.unsaid, []
        for reply, result, error in unsaid:
            self.reply(reply, result=result, error=error)

    async def say(self, topic: str, payload: bytes) -> None:
        """Publish a retained message and wait for its PUBACK, over reconnects."""
        while True:
            connection = await self.link.ready()
            try:
                await connection.publish(topic, payload, retain=True)
            except ConnectionLost:
                continue
            return


def _cut(size: int) -> str:
    return (
        f"the answer is larger than the broker takes: {size} bytes; ask for less (name a queue), "
        "or raise its limit (mosquitto: max_packet_size)"
    )


def _is_too_large(sent: asyncio.Future[int]) -> bool:
    return sent.exception() is None and sent.result() == PACKET_TOO_LARGE
