"""Gives slots back that belong to no run: of jobs whose worker, queue or device is away.

A job that is parked gives its slot back in the limiter's pass. One that has been published may lie
in a broker or a worker that cannot be reached. It is recalled first: an order that every worker
reads before it starts a job, so that a worker that gets it later hands it back instead. Only then,
and if no worker has said meanwhile that it runs, is the slot given to another job.

Nothing is counted over a restart or a lost connection: until the workers have spoken, one that is
silent may run the job.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.sql import limits as sql_limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.control.orders import Control
    from routeq_mqtt.transport.base import Connection

log: logging.Logger = logging.getLogger(__name__)

_LOOK_EVERY = 1.0
UNREACHABLE_FOR = 3.0
"""Seconds for which no worker serves a queue before what was published for it is recalled: workers
that are restarted, or a broker, take a moment."""
HEARD_WITHIN = 2.0
"""Seconds in which a worker that has just started a recalled job has said so."""

Delivery = tuple[str, int]


class SlotReturns:
    """Takes back the slots of released jobs that no worker can start at the moment.

    Args:
        context: what the roles share.
        control: gives orders to workers.
    """

    def __init__(self, context: Context, control: Control) -> None:
        self._context = context
        self._control = control
        self._connection: Connection | None = None
        self._away_since: dict[Delivery, float] = {}
        self._recalled_at: dict[Delivery, float] = {}

    async def run(self) -> None:
        """Look once a second, where something waits for its turn."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if not (self._context.limited or self._context.orders.names("recalled")):
                continue
            try:
                await self.look()
            except StoreUnavailable as error:
                log.error("cannot give slots back: error=%s", error)

    async def look(self) -> int:
        """One pass; how many jobs gave back what they had."""
        context = self._context
        if context.link.connection is not self._connection:
            self._connection = context.link.connection
            self._away_since, self._recalled_at = {}, {}
        await self._withdraw()
        if self._connection is None:
            return 0
        now = context.clock.monotonic()
        away = await self._away()
        self._away_since = {one: self._away_since.get(one, now) for one in away}
        self._recalled_at = {one: at for one, at in self._recalled_at.items() if one in away}
        for one, since in self._away_since.items():
            if now - since >= UNREACHABLE_FOR and one not in self._recalled_at:
                await self._control.recall(*one)
                self._recalled_at[one] = now
        return await self._give_back(
            [one for one, at in self._recalled_at.items() if now - at >= HEARD_WITHIN]
        )

    async def _away(self) -> set[Delivery]:
        """Published jobs that others wait for, that no worker can start or runs."""
        context = self._context
        # One that is drained still runs what it holds.
        served = {
            queue for queue in context.fleet.queues() if not context.orders.has("paused", queue)
        }
        running = {
            job_id
            for member in context.fleet.members.values()
            if member.status is not None and member.status.state == "online"
            for job_id in member.load.running
        }
        database = context.store.database
        queues = {str(row[0]) for row in await database.read(sql_limits.RELEASED_QUEUES)}
        return {
            (str(job_id), int(deliveries))
            for queue in queues - served
            for job_id, deliveries in await database.read(sql_limits.HELD_SLOTS, (queue,))
            if job_id not in running
        }

    async def _give_back(self, deliveries: Iterable[Delivery]) -> int:
        values = list(deliveries)
        if not values:
            return 0
        number = await self._context.store.database.write(sql_limits.GIVE_BACK_RELEASED, values)
        self._context.hook("given back")
        log.info("gave back the slots of %d jobs that no worker can start now", number)
        self._context.parked.notify()
        return number

    async def _withdraw(self) -> None:
        """Orders for deliveries that have come back, or are over."""
        orders = self._context.orders
        names = orders.names("recalled")
        if not names:
            return
        wanted = [name.rpartition(".")[::2] for name in names]
        rows = [await self._context.store.get(job_id) for job_id, _ in wanted]
        over = [
            name
            for name, (_, number), row in zip(names, wanted, rows, strict=True)
            if row is None or row.state != "released" or str(row.deliveries) != number
        ]
        if over:
            await self._control.withdraw_recalls(over)
