"""How many jobs wait, as far as the bus can see."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.send.retained import Retained
from routeq_mqtt.errors import ConnectionFailed, NoScheduler, PublishRefused
from routeq_mqtt.imports import LateModule
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.presence.fleet import Fleet

if TYPE_CHECKING:
    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.transport.base import Message
    from routeq_mqtt.wire.messages import replies, requests
else:
    replies = LateModule("routeq_mqtt.wire.messages.replies")
    requests = LateModule("routeq_mqtt.wire.messages.requests")

_BLIND_WITHIN = 2.0
"""Seconds for our own mark, where access control seems to hide it from us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSize:
    """Number of jobs in one queue.

    Attributes:
        delayed: jobs that are not yet due.
        parked: jobs that are due and that no worker has yet: in the scheduler or embedded broker.
        waiting: jobs that a worker holds and has not started.
        running: jobs that run now.
        held: jobs that wait for others of their chain or batch, or for a rate limit or slot.
        failed: failed records; not part of `total`.
        paused: whether the queue is paused.
        rate: (jobs, seconds): at most this many starts in this time; None: no limit.
        exact: False if the broker may hold jobs that cannot be counted, or no scheduler answers.
    """

    delayed: int = 0
    parked: int = 0
    waiting: int = 0
    running: int = 0
    held: int = 0
    failed: int = 0
    paused: bool = False
    rate: tuple[float, float] | None = None
    exact: bool = True

    @property
    def total(self) -> int:
        """All jobs that will run or run now."""
        return self.delayed + self.parked + self.waiting + self.running + self.held

    def __int__(self) -> int:
        return self.total

    def as_dict(self) -> dict[str, Any]:
        """As a plain map, `total` included."""
        return {**asdict(self), "total": self.total}


class Sizes:
    """Folds what the scheduler counts, what workers say and what the embedded broker says.

    Args:
        sender: the connection.
        requests: asks the scheduler.
        clock: when workers were heard.
        timeout: seconds that broker and scheduler may take to answer.

    Attributes:
        changed: fires when a worker said something.
        is_counted: whether `all` was told last of the jobs that wait without a worker.
    """

    def __init__(self, sender: Sender, requests: Requests, clock: Clock, *, timeout: float) -> None:
        self._sender = sender
        self._requests = requests
        self._clock = clock
        self._timeout = timeout
        self._listening = False
        self.changed: Notifier = Notifier()
        self.is_counted: bool = False
        self.fleet: Fleet = Fleet(sender.topics)
        self._retained = Retained(sender, self._fold)

    async def refresh(self) -> None:
        """Wait until the retained messages of all workers are here; afterwards they keep coming.

        Raises:
            PublishRefused: the broker hides our own message from us, or does not answer in time.
            ConnectionFailed: it was not reached in time.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._sender.link.ready()
                if not self._listening:
                    await self._sender.listen(self.fleet.filters(), self._retained)
                    self._listening = True
                before = self._sender.connections
                await self._catch_up()
                self._retained.settle(before)
        except TimeoutError:
            if self._sender.link.last_error is not None:
                raise ConnectionFailed(str(self._sender.link.last_error)) from None
            raise _no_mark(self._timeout) from None

    @property
    def is_settled(self) -> bool:
        """Whether `fleet` is what the present connection has brought; `refresh` sees to that."""
        return self._retained.is_settled

    async def _catch_up(self) -> None:
        if not self._sender.surroundings.blind:
            return await self._sender.caught_up()
        try:
            async with asyncio.timeout(_BLIND_WITHIN):
                await self._sender.caught_up()
        except TimeoutError:
            raise _no_mark(_BLIND_WITHIN) from None

    def _fold(self, message: Message) -> None:
        self.fleet.fold(message.topic, message.payload, now=self._clock.monotonic())
        self.changed.notify()

    async def of(self, queue: str) -> QueueSize:
        """One queue."""
        return (await self.all()).get(queue, QueueSize(exact=self._exact()))

    async def all(self) -> dict[str, QueueSize]:
        """Every queue that somebody knows of."""
        await self.refresh()
        answer = await self._counted()
        counted, exact = answer or {}, answer is not None and self._exact()
        online = self._sender.surroundings.scheduler_online
        self.is_counted = exact or (answer is not None and online)
        names = {*counted, *self._sender.surroundings.waiting, *self.fleet.queues()}
        return {
            name: self._one(name, counted.get(name, replies.QueueCounts()), exact=exact)
            for name in sorted(names)
        }

    def _one(self, queue: str, counted: replies.QueueCounts, *, exact: bool) -> QueueSize:
        return QueueSize(
            delayed=counted.delayed,
            parked=counted.parked + self._sender.surroundings.waiting.get(queue, 0),
            waiting=self.fleet.waiting(queue),
            running=self.fleet.running(queue),
            held=counted.held + counted.limited,
            failed=counted.failed,
            paused=counted.paused,
            rate=counted.rate,
            exact=exact,
        )

    def _exact(self) -> bool:
        """Only the embedded broker counts what it holds."""
        around = self._sender.surroundings
        return around.shares_queue and (around.scheduler is None or around.scheduler_online)

    async def _counted(self) -> dict[str, replies.QueueCounts] | None:
        """None: there is a scheduler, and it does not answer."""
        if not self._sender.surroundings.scheduler_online:
            return {}
        try:
            return await self._requests.ask(requests.Sizes(), timeout=self._timeout)
        except NoScheduler:
            return None


def _no_mark(seconds: float) -> PublishRefused:
    return PublishRefused(
        f"the broker did not give us back our own message within {seconds:g} s; "
        "check its access control and whether it answers at all"
    )
