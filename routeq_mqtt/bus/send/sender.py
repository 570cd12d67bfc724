"""How a job gets to the next place that holds it: the express lane, the intake, or an error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.send.broker_info import BrokerInfo
from routeq_mqtt.bus.send.retry import HandOver
from routeq_mqtt.errors import (
    ConnectionLost,
    NoConsumer,
    NoScheduler,
    PublishRefused,
    UnreadableMessage,
)
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.tasks import Scope
from routeq_mqtt.transport.base import (
    NO_MATCHING_SUBSCRIBERS,
    PACKET_TOO_LARGE,
    SUCCESS,
    ConnectOptions,
)
from routeq_mqtt.transport.reconnecting import Link
from routeq_mqtt.wire.marks import decode_mark, encode_mark

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection, Message, Transport

_REFUSED = 0x80
_SLOW = 10.0
"""Seconds after which a broker that answers nothing of what we sent ourselves hides it from us."""

_NOT_AUTHORIZED = 0x87
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
        self.surroundings: BrokerInfo = BrokerInfo(topics, client_id)
        self.hand_over: HandOver = HandOver(self._prove)
        self._clock = clock
        self.connections: int = 0
        self._listeners: dict[str, Listener] = {}
        self._empty_until: dict[str, float] = {}
        self._marks = self._mark_seen = 0
        self._marked = Notifier()
        self._awaited: dict[str, asyncio.Future[None]] = {}
        self.link: Link = Link(
            transport, ConnectOptions(client_id), self._deliver, set_up=self._set_up
        )

    async def _set_up(self, connection: Connection) -> None:
        self.connections += 1
        self._empty_until.clear()
        await self.surroundings.look(connection)
        if self._listeners:
            await connection.subscribe(*self._listeners)

    def _deliver(self, connection: Connection, message: Message) -> None:
        connection.acknowledge(message)
        if self.surroundings.fold(message):
            return
        awaited = self._awaited.get(message.topic)
        if awaited is not None:
            if not awaited.done():
                awaited.set_result(None)
            return
        for name, listener in self._listeners.items():
            if name == message.topic or _matches(name, message.topic):
                listener(message)
                return

    async def listen(self, filters: Sequence[str], listener: Listener) -> None:
        """Hand what arrives on `filters` to `listener`, on this and on every later connection.

        A filter is a topic, or ends in ``+`` or ``#``. Returns when a connection listens.
        """
        self._listeners.update(dict.fromkeys(filters, listener))
        while True:
            connection = await self.link.ready()
            with contextlib.suppress(ConnectionLost):  # the next one subscribes as it is set up
                await connection.subscribe(*filters)
                return

    async def gets_shared(self, timeout: float) -> bool:
        """Whether the broker delivers to a shared subscription: not all that grant it do.

        True also where access control keeps us from finding out, or the broker is that slow.

        Args:
            timeout: seconds to wait for a message to a group after one that was sent behind it has
                come to a plain subscription.

        Raises:
            ConnectionLost: the connection ended first.
        """
        connection = await self.link.ready()
        if self.surroundings.blind:
            return True
        topic = f"{self.topics.probe(self.client_id)}/shared"
        behind = f"{self.topics.probe(self.client_id)}/behind"
        name = self.topics.alone(self.client_id, topic)
        loop = asyncio.get_running_loop()
        came, plain = loop.create_future(), loop.create_future()
        self._awaited |= {topic: came, behind: plain}
        try:
            granted = await connection.subscribe(name, behind)
            if granted[0] >= _REFUSED:
                return False
            if await connection.publish(topic, b"shared") >= _REFUSED:
                return True
            connection.publish(behind, b"plain")
            lost: asyncio.Future[Any] = connection.lost
            await asyncio.wait(
                {came, plain, lost}, timeout=_SLOW, return_when=asyncio.FIRST_COMPLETED
            )
            if plain.done():
                await asyncio.wait(
                    {came, lost}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
                )
            await connection.unsubscribe(name, behind)
        finally:
            del self._awaited[topic], self._awaited[behind]
        return came.done() or not plain.done()

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
            connection.publish(own, encode_mark(mark))
            async with Scope() as scope:
                news = scope.start(self._marked.wait(since=before), "mark")
                either: set[asyncio.Future[Any]] = {news, connection.lost}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)

    def _see_mark(self, message: Message) -> None:
        with contextlib.suppress(UnreadableMessage):  # then it is none of ours
            self._mark_seen = max(self._mark_seen, decode_mark(message.payload))
            self._marked.notify()

    async def _prove(self) -> None:
        connection = await self.link.ready()
        if not self.surroundings.blind:  # else even that might be refused
            await connection.publish(f"{self.topics.probe(self.client_id)}/nobody", b"")

    async def send(self, queue: str, payload: bytes) -> None:
        """Send one job; returns when somebody holds it.

        Raises:
            NoConsumer: no worker, no scheduler and no embedded broker is there.
            PublishRefused: the broker does not let us.
            ConnectionLost: the connection ended; the job may have arrived.
        """
        connection = await self.link.ready()
        topic = self._first_topic(queue)
        reason = await connection.publish(topic, payload)
        if reason == NO_MATCHING_SUBSCRIBERS:
            intake = self.surroundings.intake(queue)
            if topic != intake:
                self._empty_until[queue] = self._clock.monotonic() + _EMPTY_FOR
                topic = intake
                reason = await connection.publish(topic, payload)
        self._check(reason, topic, queue)

    async def send_back(self, queue: str, payload: bytes, scheduler: str) -> None:
        """Send a job on to other workers, or where there is none to the scheduler.

        Not to the intake: what comes there adds jobs, and this is one that may be known.

        Args:
            queue: of the job.
            payload: the job.
            scheduler: where the scheduler takes jobs back.

        Raises:
            NoConsumer, NoScheduler, PublishRefused, ConnectionLost: as `send`.
        """
        topic = self._first_topic(queue)
        if self.surroundings.shares_queue and topic == self.topics.intake(queue):
            await self.send(queue, payload)
        elif topic != self.topics.delivery(queue):
            await self.to_scheduler(scheduler, payload)
        else:
            reason = await (await self.link.ready()).publish(topic, payload)
            if reason == NO_MATCHING_SUBSCRIBERS:
                await self.to_scheduler(scheduler, payload)
            else:
                _refuse(reason, topic)

    async def send_many(self, jobs: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """Send many jobs, pipelined: many are in flight at once.

        Returns:
            The jobs that were not acknowledged because the connection ended; they may have arrived.

        Raises:
            NoConsumer, PublishRefused: as `send`; then some of the jobs may have been sent.
        """
        connection = await self.link.ready()
        queues = {queue for queue, _ in jobs}
        topics = {queue: self._first_topic(queue) for queue in queues}
        first = [(topics[queue], payload) for queue, payload in jobs]
        reasons = await connection.publish_many(first)
        if reasons.count(SUCCESS) == len(jobs):
            return []
        intake = {queue: self.surroundings.intake(queue) for queue in queues}
        unconfirmed: list[tuple[str, bytes]] = []
        again: list[tuple[str, bytes]] = []
        for job, reason in zip(jobs, reasons, strict=True):
            queue = job[0]
            if reason is None:
                unconfirmed.append(job)
            elif reason == NO_MATCHING_SUBSCRIBERS and topics[queue] != intake[queue]:
                self._empty_until[queue] = self._clock.monotonic() + _EMPTY_FOR
                again.append(job)
            else:
                self._check(reason, topics[queue], queue)
        intakes = [(intake[queue], payload) for queue, payload in again]
        reasons = await connection.publish_many(intakes)
        for job, (topic, _), reason in zip(again, intakes, reasons, strict=True):
            if reason is None:
                unconfirmed.append(job)
            else:
                self._check(reason, topic, job[0])
        return unconfirmed

    def _first_topic(self, queue: str) -> str:
        around = self.surroundings
        if queue in around.limited:
            # Where workers would get it from `$queue`, to the scheduler by name.
            return self.topics.schedule if around.shares_queue else around.intake(queue)
        if around.shares_queue or not around.reports_no_subscribers:
            if not (around.shares_queue or around.scheduler or around.blind):
                raise _nobody(queue)
            return around.intake(queue)
        if around.deals or self._empty_until.get(queue, 0.0) > self._clock.monotonic():
            return around.intake(queue)
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
        if around.scheduler is None and not around.blind and not around.reports_no_subscribers:
            raise _no_scheduler(topic)
        reason = await connection.publish(topic, payload)
        if reason == NO_MATCHING_SUBSCRIBERS:
            raise _no_scheduler(topic)
        _refuse(reason, topic)


def _refuse(reason: int, topic: str) -> None:
    if reason == PACKET_TOO_LARGE:
        raise PublishRefused(
            f"a message to {topic!r} is larger than the broker takes (reason 0x95); make it "
            "smaller, or raise the broker's limit (mosquitto: max_packet_size)",
            reason,
        )
    if reason == _NOT_AUTHORIZED:
        raise PublishRefused(
            f"the access control of the broker does not let this user publish to {topic!r} "
            f"(reason 0x87); {_who_may(topic)}",
            reason,
        )
    if reason >= _REFUSED:
        raise PublishRefused(
            f"the broker refused a message to {topic!r} (reason 0x{reason:02x}); "
            "check its access control and limits",
            reason,
        )


def _who_may(topic: str) -> str:
    """Which of the roles of ``deploy/acl/services.acl`` may publish to a topic."""
    if "/rpc/" in topic:
        return "looking and acting needs the role operator: set ROUTEQ_USERNAME and ROUTEQ_PASSWORD"
    return (
        "sending jobs needs the role producer, worker or operator: set ROUTEQ_USERNAME and "
        "ROUTEQ_PASSWORD, or give this user the topic"
    )


def _nobody(queue: str) -> NoConsumer:
    return NoConsumer(
        f"no consumer for queue {queue!r}: no worker, no scheduler and no embedded "
        "broker is connected; start one: routeq-mqtt scheduler"
    )


def _no_scheduler(topic: str) -> NoScheduler:
    return NoScheduler(
        f"no scheduler has run on this bus, so {topic!r} has no reader; "
        "start one: routeq-mqtt scheduler"
    )


def _matches(name: str, topic: str) -> bool:
    """Whether a topic matches a filter that ends in a wildcard."""
    if name.endswith("#"):
        return topic.startswith(name[:-1])
    head, plus, _ = name.rpartition("+")
    return bool(plus) and topic.startswith(head) and "/" not in topic[len(head) :]
