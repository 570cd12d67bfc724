"""Cancels jobs, pauses, limits and purges queues, drains workers; tells the workers what holds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.scheduler.control.purger import Purger
from routeq_mqtt.scheduler.store.sql import limits as sql_limits
from routeq_mqtt.wire import admission
from routeq_mqtt.wire.messages import requests
from routeq_mqtt.wire.messages.orders import encode_order, given_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.store.orders import Kind
    from routeq_mqtt.scheduler.store.rows import Ended
    from routeq_mqtt.transport.base import Connection, Message, Transport

log: logging.Logger = logging.getLogger(__name__)


class Control:
    """Orders: committed, then published, then answered.

    A scheduler that dies in between finds them in its database and publishes them at its next
    connect; the caller got no answer and asks again, which changes nothing.

    Args:
        context: what the roles share.
        transport: for the purge of a queue that the broker holds.
    """

    def __init__(self, context: Context, transport: Transport) -> None:
        self._context = context
        self._transport = transport
        self._announced: Connection | None = None
        self._to_clear: set[tuple[Kind, str]] = set()
        self.methods: requests.Methods = {
            requests.Cancel: self._cancel,
            requests.QueuePause: self._pause,
            requests.QueueResume: self._resume,
            requests.QueueLimit: self._limit,
            requests.QueuePurge: self._purge,
            requests.WorkerDrain: self._drain,
            requests.WorkerUndrain: self._undrain,
            requests.Orders: self._orders,
        }

    # -- what was asked ------------------------------------------------------------------------

    async def _cancel(self, asked: requests.Cancel) -> object:
        return await self.cancel(asked.ids)

    async def cancel(self, ids: Sequence[str]) -> dict[str, str]:
        """Cancel jobs wherever they are; what became of each."""
        context = self._context
        fates = await context.orders.cancel(ids, context.clock.now())
        context.hook("cancelled")
        context.results.ended(job_id for job_id, fate in fates.items() if fate != "asked")
        for job_id, fate in fates.items():
            if fate == "asked":
                self._publish("cancel", job_id, context.clock.now())
        await self._give_slots_back([job_id for job_id, fate in fates.items() if fate == "asked"])
        await context.results.look()  # others of its chain or its batch went with it
        context.parked.notify()  # the end of a job may be what others wait for
        return dict(fates)

    async def _give_slots_back(self, asked: Sequence[str]) -> None:
        """Of cancelled jobs that no worker can start: no worker starts one that it gets later."""
        context = self._context
        running = {job for one in context.fleet.members.values() for job in one.load.running}
        served = context.served()
        for job_id in set(asked) - running:
            row = await context.store.get(job_id)
            if row is not None and row.is_limited and row.queue not in served:
                await context.store.database.write(sql_limits.GIVE_BACK_CANCELLED, [(job_id,)])

    async def recall(self, job_id: str, deliveries: int) -> None:
        """Have a worker that gets this delivery of a job hand it back instead of starting it."""
        await self._give("recalled", f"{job_id}.{deliveries}")
        self._context.hook("recalled")

    async def withdraw_recalls(self, names: Sequence[str]) -> None:
        """These deliveries have come back, or are over."""
        await self._context.orders.withdraw("recalled", names)
        self._clear("recalled", names)

    async def _pause(self, asked: requests.QueuePause) -> object:
        await self._give("paused", asked.queue)
        return None

    async def _resume(self, asked: requests.QueueResume) -> object:
        await self._withdraw("paused", asked.queue)
        return None

    async def _drain(self, asked: requests.WorkerDrain) -> object:
        await self._give("drained", asked.worker)
        return None

    async def _undrain(self, asked: requests.WorkerUndrain) -> object:
        await self._withdraw("drained", asked.worker)
        return None

    async def _limit(self, asked: requests.QueueLimit) -> object:
        """A rate, or none any more."""
        context = self._context
        queue = asked.queue
        if asked.rate is None:
            await context.orders.unlimit(queue)
            context.hook("withdrawn")
            self._clear("limited", [queue])
        else:
            at = context.clock.now()
            await context.orders.limit(queue, asked.rate, at)
            context.hook("ordered")
            self._publish("limited", queue, at)
        log.info("ordered limit of queue=%s rate=%s", queue, asked.rate)
        context.limited = True  # what waited here waits for its turn now, or has had it
        context.parked.notify()
        return None

    async def _purge(self, asked: requests.QueuePurge) -> object:
        """What waits here, then what workers have not started, then what the broker holds."""
        context = self._context
        queue = asked.queue
        purged = await context.orders.purge(queue, context.clock.now())
        context.hook("purged")
        await context.results.look()
        context.parked.notify()
        connection = await context.link.ready()
        await connection.publish(context.topics.order("purge", queue), b"{}")
        if context.surroundings.shares_queue:
            purged += await Purger(context, self._transport, queue).run()
        return {"purged": purged}

    async def _orders(self, asked: requests.Orders) -> object:
        orders = self._context.orders.all()
        return [{"kind": kind, "name": name, "at": at} for (kind, name), at in orders.items()]

    async def _give(self, kind: Kind, name: str) -> None:
        at = self._context.clock.now()
        await self._context.orders.give(kind, name, at)
        self._context.hook("ordered")
        log.info("ordered %s %s", kind, name)
        self._publish(kind, name, at)

    async def _withdraw(self, kind: Kind, name: str) -> None:
        await self._context.orders.withdraw(kind, [name])
        self._context.hook("withdrawn")
        log.info("withdrawn %s %s", kind, name)
        self._clear(kind, [name])
        self._context.parked.notify()

    # -- what the workers hear -----------------------------------------------------------------

    def announce(self, connection: Connection) -> None:
        """At each connect: what holds. Leftovers are cleared as they come back (`fold`).

        What was withdrawn while this connection was set up is cleared now: requests that waited
        in our session are answered before that is over.
        """
        self._announced = connection
        held = self._context.orders.all()
        for (kind, name), at in held.items():
            connection.publish(
                self._context.topics.order(kind, name), encode_order(at), retain=True
            )
        for kind, name in self._to_clear - held.keys():
            connection.publish(self._context.topics.order(kind, name), b"", retain=True)
        self._to_clear.clear()
        self._say_key(connection)

    def _say_key(self, connection: Connection) -> None:
        """What workers check with that we have decided on a job."""
        context = self._context
        topic = context.topics.order(admission.ORDER, context.store.database.lineage)
        key = admission.encode_key(context.tokens.admission_key, context.clock.now())
        connection.publish(topic, key, retain=True)

    def _look_at_key(self, name: str, payload: bytes) -> None:
        """Ours must not be lost; those of other databases stay, their jobs may be under way."""
        connection = self._connection()
        if connection is None or name != self._context.store.database.lineage:
            return
        try:
            if admission.read_key(payload) == self._context.tokens.admission_key:
                return
        except UnreadableMessage:
            pass
        self._say_key(connection)

    def fold(self, message: Message) -> bool:
        """Take a retained order; one that no longer holds is cleared. Whether it was an order."""
        order = self._context.topics.order_of(message.topic)
        if order is None:
            return False
        if order[0] == admission.ORDER:
            self._look_at_key(order[1], message.payload)
            return True
        held = self._context.orders.all()
        if message.retain and message.payload and order not in held:
            self._clear(cast("Kind", order[0]), [order[1]])
        elif order in held and not _is_readable(message.payload):
            # Something else was published over it; a worker that comes now is to read it again.
            self._publish(cast("Kind", order[0]), order[1], held[order])
        return True

    async def obeyed(self, outcomes: Sequence[Ended]) -> None:
        """Workers have cancelled these jobs: the orders have done their work."""
        over = await self._context.orders.cancelled(outcomes, self._context.clock.now())
        self._context.hook("obeyed")
        self._clear("cancel", over)

    async def over(self, ids: Iterable[str]) -> None:
        """These jobs have ended: an order to cancel one of them has nothing left to do."""
        ordered = set(self._context.orders.names("cancel"))
        outlived = ordered.intersection(ids) if ordered else None
        if outlived:
            await self._context.orders.withdraw("cancel", outlived)
            self._clear("cancel", outlived)

    async def tidy(self, now: float) -> None:
        """Withdraw orders to cancel jobs that are over, or have not been seen for a week."""
        orders = self._context.orders
        outlived = await orders.outlived(now)
        if outlived:
            await orders.withdraw("cancel", outlived)
            self._clear("cancel", outlived)

    def _connection(self) -> Connection | None:
        """Where everything is said that holds; None: `announce` is going to say it."""
        connection = self._announced
        return None if connection is None or connection.lost.done() else connection

    def _publish(self, kind: Kind, name: str, at: float) -> None:
        connection = self._connection()
        if connection is not None:
            connection.publish(
                self._context.topics.order(kind, name), encode_order(at), retain=True
            )

    def _clear(self, kind: Kind, names: Iterable[str]) -> None:
        connection = self._connection()
        if connection is None:
            self._to_clear.update((kind, name) for name in names)
            return
        for name in names:
            connection.publish(self._context.topics.order(kind, name), b"", retain=True)


def _is_readable(payload: bytes) -> bool:
    try:
        given_at(payload)
    except UnreadableMessage:
        return False
    return True
