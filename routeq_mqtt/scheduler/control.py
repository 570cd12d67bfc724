"""Cancels jobs, pauses, limits and purges queues, drains workers; tells the workers what holds."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, cast

from routeq_mqtt.scheduler.purger import Purger
from routeq_mqtt.wire.names import check_queue_name
from routeq_mqtt.wire.rates import check_rate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.orders import Kind
    from routeq_mqtt.transport.seam import Connection, Message, Transport

log = logging.getLogger(__name__)

_MOST = 10_000


class Control:
    """Orders: committed, then published, then answered.

    A scheduler that dies in between finds them in its database and publishes them at its next
    connect; whoever asked got no answer and asks again, which changes nothing.

    Args:
        context: what the roles share.
        transport: for the purge of a queue that the broker holds.
    """

    def __init__(self, context: Context, transport: Transport) -> None:
        self._context = context
        self._transport = transport
        self.methods: dict[str, Callable[[dict[str, Any]], Awaitable[object]]] = {
            "cancel": self._cancel,
            "queue.pause": self._pause,
            "queue.resume": self._resume,
            "queue.limit": self._limit,
            "queue.purge": self._purge,
            "worker.drain": self._drain,
            "worker.undrain": self._undrain,
            "orders": self._orders,
        }

    # -- what was asked ------------------------------------------------------------------------

    async def _cancel(self, args: dict[str, Any]) -> object:
        ids = args["ids"]
        if not isinstance(ids, list) or not 0 < len(ids) <= _MOST:
            raise ValueError(f"ids must be a list of 1 to {_MOST} job ids")
        return await self.cancel([str(job_id) for job_id in ids])

    async def cancel(self, ids: Sequence[str]) -> dict[str, str]:
        """Cancel jobs wherever they are; what became of each."""
        context = self._context
        fates = await context.orders.cancel(ids, context.clock.now())
        context.hook("cancelled")
        context.results.ended(job_id for job_id, fate in fates.items() if fate != "asked")
        for job_id, fate in fates.items():
            if fate == "asked":
                self._publish("cancel", job_id, context.clock.now())
        await context.results.look()  # others of its chain or its batch went with it
        context.parked.fire()  # the end of a job may be what others wait for
        return dict(fates)

    async def _pause(self, args: dict[str, Any]) -> object:
        await self._give("paused", check_queue_name(args["queue"], "pause: queue"))
        return None

    async def _resume(self, args: dict[str, Any]) -> object:
        await self._withdraw("paused", check_queue_name(args["queue"], "resume: queue"))
        return None

    async def _drain(self, args: dict[str, Any]) -> object:
        await self._give("drained", check_queue_name(args["worker"], "drain: worker"))
        return None

    async def _undrain(self, args: dict[str, Any]) -> object:
        await self._withdraw("drained", check_queue_name(args["worker"], "undrain: worker"))
        return None

    async def _limit(self, args: dict[str, Any]) -> object:
        """A rate, or none any more."""
        context = self._context
        queue = check_queue_name(args["queue"], "limit: queue")
        if args["rate"] is None:
            await context.orders.unlimit(queue)
            context.hook("withdrawn")
            self._clear("limited", [queue])
        else:
            rate, at = check_rate("limit: rate", args["rate"]), context.clock.now()
            await context.orders.limit(queue, rate, at)
            context.hook("ordered")
            self._publish("limited", queue, at)
        log.info("ordered limit of queue=%s rate=%s", queue, args["rate"])
        context.limited = True  # what waited here waits for its turn now, or has had it
        context.parked.fire()
        return None

    async def _purge(self, args: dict[str, Any]) -> object:
        """What waits here, then what workers have not started, then what the broker holds."""
        context = self._context
        queue = check_queue_name(args["queue"], "purge: queue")
        purged = await context.orders.purge(queue, context.clock.now())
        context.hook("purged")
        await context.results.look()
        context.parked.fire()
        connection = await context.link.ready()
        await connection.publish(context.topics.order("purge", queue), b"{}")
        if context.surroundings.shares_queue:
            purged += await Purger(context, self._transport, queue).run()
        return {"purged": purged}

    async def _orders(self, args: dict[str, Any]) -> object:
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
        self._context.parked.fire()

    # -- what the workers hear -----------------------------------------------------------------

    def announce(self, connection: Connection) -> None:
        """At each connect: what holds. Leftovers are cleared as they come back (`fold`)."""
        for (kind, name), at in self._context.orders.all().items():
            connection.publish(self._context.topics.order(kind, name), _payload(at), retain=True)

    def fold(self, message: Message) -> bool:
        """Take a retained order; one that no longer holds is cleared. Whether it was an order."""
        order = self._context.topics.order_of(message.topic)
        if order is None:
            return False
        if message.retain and message.payload and order not in self._context.orders.all():
            self._clear(cast("Kind", order[0]), [order[1]])
        return True

    async def obeyed(self, outcomes: Sequence[tuple[str, int]]) -> None:
        """Workers have cancelled these jobs: the orders have done their work."""
        await self._context.orders.cancelled(outcomes, self._context.clock.now())
        self._context.hook("obeyed")
        self._clear("cancel", [job_id for job_id, _ in outcomes])

    async def tidy(self, now: float) -> None:
        """Withdraw orders to cancel jobs that are over, or that nobody has seen for a week."""
        orders = self._context.orders
        outlived = await orders.outlived(now)
        if outlived:
            await orders.withdraw("cancel", outlived)
            self._clear("cancel", outlived)

    def _publish(self, kind: Kind, name: str, at: float) -> None:
        connection = self._context.link.connection
        if connection is not None:
            connection.publish(self._context.topics.order(kind, name), _payload(at), retain=True)

    def _clear(self, kind: Kind, names: Iterable[str]) -> None:
        connection = self._context.link.connection
        if connection is not None:
            for name in names:
                connection.publish(self._context.topics.order(kind, name), b"", retain=True)


def _payload(at: float) -> bytes:
    return json.dumps({"at": at}).encode()
