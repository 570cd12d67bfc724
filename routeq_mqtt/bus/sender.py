"""How a job gets to the next place that holds it: the express lane, the intake, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.surroundings import Surroundings
from routeq_mqtt.errors import NobodyHoldsJobs, NoScheduler, PublishRefused
from routeq_mqtt.signal import Signal
from routeq_mqtt.transport.link import Link
from routeq_mqtt.transport.seam import NO_MATCHING_SUBSCRIBERS, SUCCESS, ConnectOptions

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.seam import Connection, Message, Transport

_REFUSED = 0x80
_EMPTY_FOR = 1.0
"""Seconds for which a queue whose express lane was empty is not tried again: `$queue` is safe."""

Listener = Callable[["Message"], None]


class Sender:
    """A connection that sends jobs and control messages, and reads what it listens to.

    Args:
        transport: how to reach the broker.
        topics: the topics of the bus.
        client_id: MQTT client identifier.
        clock: for how long an empty express lane is left alone.
    """

    def __init__(
        self, transport: Transport, topics: Topics, client_id: str, *, clock: Clock
    ) -> None:
        self.topics = topics
        self.client_id = client_id
        self.surroundings = Surroundings(topics, client_id)
        self._clock = clock
        self._listeners: dict[str, Listener] = {}
        self._empty_until: dict[str, float] = {}
        self._marks = self._mark_seen = 0
        self._marked = Signal()
        self.link = Link(transport, ConnectOptions(client_id), self._deliver, set_up=self._set_up)

    async def _set_up(self, connection: Connection) -> None:
        self._empty_until.clear()
        await self.surroundings.look(connection)
        if self._listeners:
            await connection.subscribe(*self._listeners)

    def _deliver(self, connection: Connection, message: Message) -> None:
        connection.acknowledge(message)
        if self.surroundings.fold(message):
            return
        for name, listener in self._listeners.items():
            if name == message.topic or _matches(name, message.topic):
                listener(message)
                return

    async def listen(self, filters: Sequence[str], listener: Listener) -> None:
        """Hand what arrives on `filters` to `listener`, on this and on every later connection.

        A filter is a topic, or ends in ``+`` or ``#``.
        """
        self._listeners.update(dict.fromkeys(filters, listener))
        await (await self.link.ready()).subscribe(*filters)

    async def caught_up(self) -> None:
        """Wait until all that the broker had for us by now has arrived: our own mark comes last."""
        own = self.topics.session(self.client_id)
        if own not in self._listeners:
            await self.listen([own], self._see_mark)
        self._marks += 1
        mark = self._marks
        while self._mark_seen < mark:
            connection = await self.link.ready()
            before = self._marked.fired  # the mark may be back before `news` begins to wait
            connection.publish(own, str(mark).encode())
            news = asyncio.ensure_future(self._marked.wait(since=before))
            either: set[asyncio.Future[Any]] = {news, connection.lost}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()

    def _see_mark(self, message: Message) -> None:
        if message.payload.isdigit():  # whoever may write to this topic may write anything
            self._mark_seen = max(self._mark_seen, int(message.payload[:18]))
            self._marked.fire()

    async def send(self, queue: str, payload: bytes) -> None:
        """Send one job; returns when somebody holds it.

        Raises:
            NobodyHoldsJobs: no worker, no scheduler and no embedded broker is there.
            PublishRefused: the broker does not let us.
            ConnectionLost: the connection ended; the job may have arrived.
        """
        connection = await self.link.ready()
        topic = self._first_topic(queue)
        reason = await connection.publish(topic, payload)
        if reason == NO_MATCHING_SUBSCRIBERS and topic != self.topics.intake(queue):
            self._empty_until[queue] = self._clock.monotonic() + _EMPTY_FOR
            topic = self.topics.intake(queue)
            reason = await connection.publish(topic, payload)
        self._check(reason, topic, queue)

    async def send_many(self, jobs: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """Send many jobs, pipelined: many are in flight at once.

        Returns:
            The jobs that nobody acknowledged because the connection ended; they may have arrived.

        Raises:
            NobodyHoldsJobs, PublishRefused: as `send`; then some of the jobs may have been sent.
        """
        connection = await self.link.ready()
        topics = {queue: self._first_topic(queue) for queue in {queue for queue, _ in jobs}}
        first = [(topics[queue], payload) for queue, payload in jobs]
        reasons = await connection.publish_many(first)
        if reasons.count(SUCCESS) == len(jobs):
            return []
        unsure: list[tuple[str, bytes]] = []
        again: list[tuple[str, bytes]] = []
        for job, reason in zip(jobs, reasons, strict=True):
            queue = job[0]
            if reason is None:
                unsure.append(job)
            elif reason == NO_MATCHING_SUBSCRIBERS and topics[queue] != self.topics.intake(queue):
                self._empty_until[queue] = self._clock.monotonic() + _EMPTY_FOR
                again.append(job)
            else:
                self._check(reason, topics[queue], queue)
        intakes = [(self.topics.intake(queue), payload) for queue, payload in again]
        reasons = await connection.publish_many(intakes)
        for job, (topic, _), reason in zip(again, intakes, reasons, strict=True):
            if reason is None:
                unsure.append(job)
            else:
                self._check(reason, topic, job[0])
        return unsure

    def _first_topic(self, queue: str) -> str:
        around = self.surroundings
        if queue in around.limited:
            # Where workers would get it from `$queue`, to the scheduler by name.
            return self.topics.schedule if around.shares_queue else self.topics.intake(queue)
        if around.shares_queue or not around.truthful:
            if not (around.shares_queue or around.scheduler or around.blind):
                raise _nobody(queue)
            return self.topics.intake(queue)
        if self._empty_until.get(queue, 0.0) > self._clock.monotonic():
            return self.topics.intake(queue)
        return self.topics.delivery(queue)

    def _check(self, reason: int, topic: str, queue: str) -> None:
        if reason == NO_MATCHING_SUBSCRIBERS:
            raise _nobody(queue)
        _refuse(reason, topic)

    async def to_scheduler(self, topic: str, payload: bytes) -> None:
        """Send a control message; returns when the scheduler's session holds it.

        Raises:
            NoScheduler: none has ever run on this bus.
            PublishRefused, ConnectionLost: as `send`.
        """
        connection = await self.link.ready()
        around = self.surroundings
        if around.scheduler is None and not around.blind and not around.truthful:
            raise _no_scheduler(topic)
        reason = await connection.publish(topic, payload)
        if reason == NO_MATCHING_SUBSCRIBERS:
            raise _no_scheduler(topic)
        _refuse(reason, topic)


def _refuse(reason: int, topic: str) -> None:
    if reason >= _REFUSED:
        raise PublishRefused(
            f"the broker refused a message to {topic!r} (reason 0x{reason:02x}); "
            "check its access control and limits",
            reason,
        )


def _nobody(queue: str) -> NobodyHoldsJobs:
    return NobodyHoldsJobs(
        f"nobody would hold a job for queue {queue!r}: no worker, no scheduler and no embedded "
        "broker is on this bus; start one: routeq-mqtt scheduler"
    )


def _no_scheduler(topic: str) -> NoScheduler:
    return NoScheduler(
        f"no scheduler has run on this bus, so nobody reads {topic!r}; "
        "start one: routeq-mqtt scheduler"
    )


def _matches(name: str, topic: str) -> bool:
    """Whether a topic matches a filter that ends in a wildcard."""
    if name.endswith("#"):
        return topic.startswith(name[:-1])
    head, plus, _ = name.rpartition("+")
    return bool(plus) and topic.startswith(head) and "/" not in topic[len(head) :]
