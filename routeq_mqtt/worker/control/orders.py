"""The scheduler's orders, as a worker hears them: cancelled jobs, paused queues and the like.

They are retained, so a worker knows them before it takes its first job. What was withdrawn while we
were not connected is simply not sent again: after each connect the whole picture is taken anew.
Where the scheduler deals, it is asked as well: some brokers (RabbitMQ) send nothing retained to
filters with wildcards, or only what the same node of a cluster took.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from routeq_mqtt.errors import ConnectionFailed, ConnectionLost, RouteqError, UnreadableMessage
from routeq_mqtt.tasks import Scope, Tasks
from routeq_mqtt.wire import admission
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.messages.orders import Order
from routeq_mqtt.wire.messages.requests import Orders as OrdersWanted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.transport.base import Connection, Message
    from routeq_mqtt.wire.envelopes.envelope import Envelope

log: logging.Logger = logging.getLogger(__name__)

_MOST_KEYS = 1_000

_ANSWER_WITHIN = 3.0
"""Seconds for the scheduler to say what it has ordered."""

_LEARN_WITHIN = 5.0
"""Seconds after which we work without orders: access control may hide them from us."""


class Obeys(Protocol):
    """Who does what was ordered."""

    def cancel(self, job_id: str) -> None:
        """Stop a job that runs; settle one that waits."""
        ...

    def recall(self, job_id: str, deliveries: int) -> None:
        """Hand back a job that waits, up to this delivery of it."""
        ...

    def open_queue(self, queue: str, *, is_open: bool, start: bool) -> None:
        """Join or leave the group of a queue; `start`: whether what is held is still started."""
        ...

    def purge(self, queue: str) -> None:
        """Settle what waits of a queue, unstarted."""
        ...


class Orders:
    """What holds now.

    Args:
        sender: hears them.
        names: what this worker is called: its id, and its name if it has one.
        queues: that it serves.
        obeys: is called at each change.
        requests: asks the scheduler.

    Attributes:
        cancelled: ids of jobs that must not run, or must stop.
        recalled: deliveries of jobs that are handed back instead of started.
        paused: queues of which nothing is started.
        limited: queues of which only the scheduler says when a job is started.
        drained: this worker takes no new jobs; what it holds it runs.
        keys: what schedulers mark the jobs with that they have decided on, by their databases.
        when_drained: called when `drained` may have changed: an idle worker has no other reason
            to say so.
    """

    def __init__(
        self,
        sender: Sender,
        names: Collection[str | None],
        queues: Collection[str],
        obeys: Obeys,
        requests: Requests,
    ) -> None:
        self.cancelled: set[str] = set()
        self.recalled: set[str] = set()
        self.paused: set[str] = set()
        self.limited: set[str] = set()
        self._drained: set[str] = set()
        self.when_drained: Callable[[], None] = lambda: None
        self.keys: dict[str, bytes] = {}
        self._sender = sender
        self._names = names
        self._queues = queues
        self._obeys = obeys
        self._requests = requests
        self._complaints = Complaints(log)
        self._fresh: set[tuple[str, str]] | None = None
        self._learned = asyncio.Event()
        self._tasks = Tasks()
        self._closed = False

    @property
    def drained(self) -> bool:
        """Whether this worker takes no new jobs."""
        return bool(self._drained)

    async def start(self) -> None:
        """Returns when all orders that hold now are known."""
        self._tasks.keep(self._keep_up, "orders")
        try:
            await asyncio.wait_for(self._learned.wait(), _LEARN_WITHIN)
        except TimeoutError:
            log.warning("no orders to be heard; is %s readable?", self._sender.topics.all_orders)

    def close(self) -> None:
        """Obey no more."""
        self._closed = True
        self._tasks.cancel()

    async def _keep_up(self) -> None:
        while True:
            connection = await self._sender.link.ready()
            changed = self._sender.surroundings.scheduler_changed
            since = changed.fired
            if await self._learn(connection):
                await asyncio.shield(connection.lost)
                continue
            async with Scope() as scope:
                news = scope.start(changed.wait(since=since), "orders-scheduler")
                either: set[asyncio.Future[Any]] = {connection.lost, news}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)

    async def _learn(self, connection: Connection) -> bool:
        """Take the whole picture; what is not in it any more is withdrawn. Whether it is whole."""
        self._fresh = set()
        await self._sender.listen([self._sender.topics.all_orders], self._take)
        await self._sender.caught_up()
        all_are_known = await self._ask()
        if connection.lost.done():
            return True  # the next connection starts over
        fresh, self._fresh = self._fresh, None
        for order in self._known() - fresh if all_are_known else ():
            self._change(*order, holds=False)
        self._learned.set()
        return all_are_known

    async def _ask(self) -> bool:
        """Where the scheduler deals, take its orders from itself; whether all are known now.

        One that is away publishes them all when it comes, and is then asked what it withdrew.
        """
        around = self._sender.surroundings
        if not around.deals:
            return True
        if not around.scheduler_online:
            return False
        try:
            orders = await self._requests.ask(OrdersWanted(), timeout=_ANSWER_WITHIN)
        except (ConnectionLost, ConnectionFailed):
            return False
        except RouteqError as error:
            log.warning("the scheduler did not say what it has ordered: %s", error)
            return False
        for order in orders:
            if self._fresh is not None:
                self._fresh.add((order.kind, order.name))
            self._change(order.kind, order.name, holds=True)
        return True

    def _known(self) -> set[tuple[str, str]]:
        return {
            *(("cancel", name) for name in self.cancelled),
            *(("recalled", name) for name in self.recalled),
            *(("paused", name) for name in self.paused),
            *(("limited", name) for name in self.limited),
            *(("drained", name) for name in self._drained),
        }

    def _take(self, message: Message) -> None:
        named = self._sender.topics.order_of(message.topic)
        if named is None or self._closed:
            return
        if named[0] == admission.ORDER:
            self._take_key(message, named[1])
            return
        try:
            order = Order.decode(*named, message.payload)
        except UnreadableMessage as error:
            self._complaints.note(message.topic, error)
            return
        if order.kind == "purge":
            self._obeys.purge(order.name)
            return
        if self._fresh is not None:
            (self._fresh.add if order.holds else self._fresh.discard)(named)
        self._change(order.kind, order.name, holds=order.holds)

    def _take_key(self, message: Message, lineage: str) -> None:
        try:
            key = admission.read_key(message.payload)
        except UnreadableMessage as error:
            self._complaints.note(message.topic, error)
            return
        if lineage in self.keys or len(self.keys) < _MOST_KEYS:
            self.keys[lineage] = key

    def is_admitted(self, envelope: Envelope, queue: str) -> bool:
        """Whether a scheduler has decided on a job that says so; true where none has a key."""
        said, job_id = envelope.options.get(admission.MARK), str(envelope.id)
        return not self.keys or any(
            admission.fits(key, said, job_id, queue) for key in self.keys.values()
        )

    def _change(self, kind: str, name: str, *, holds: bool) -> None:
        """Orders of kinds and names that are not for us change nothing."""
        known = {
            "cancel": self.cancelled,
            "recalled": self.recalled,
            "paused": self.paused,
            "limited": self.limited,
            "drained": self._drained,
        }.get(kind)
        if known is None or (kind == "drained" and name not in self._names):
            return
        if holds == (name in known):
            return
        (known.add if holds else known.discard)(name)
        if kind == "cancel":
            if holds:
                self._obeys.cancel(name)
            return
        if kind == "recalled":
            job_id, _, number = name.rpartition(".")
            if holds and number.isdecimal():
                self._obeys.recall(job_id, int(number))
            return
        log.info("%s %s: %s", kind, name, "yes" if holds else "no more")
        if kind == "limited":
            return  # what waits here is looked at when it would be started
        for queue in self._queues if kind == "drained" else [name]:
            paused = queue in self.paused
            self._obeys.open_queue(queue, is_open=not (paused or self._drained), start=not paused)
        if kind == "drained":
            self.when_drained()
