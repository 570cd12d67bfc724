"""What was ordered and still holds: jobs to cancel, paused and limited queues, drained workers.

An order is a row here and a retained message at the broker. The row comes first; after every
connect the messages are made to say what the rows say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from routeq_mqtt.scheduler.store.sql import jobs as sql
from routeq_mqtt.scheduler.store.sql import limits as sql_limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.scheduler.store.database import Database
    from routeq_mqtt.scheduler.store.rows import Ended

Kind = Literal["cancel", "paused", "drained", "limited", "recalled"]
Fate = Literal["cancelled", "asked", "over"]

_CANCELS_KEPT = 7 * 86_400.0
"""Seconds for which a job that has not been seen stays cancelled: a session may hold it."""

MOST_CANCELS = 10_000
"""Jobs that stay cancelled without having been seen: each is a retained message at the broker."""


class OrderBook:
    """Orders, safe on disk when a call returns; read from memory.

    Args:
        database: where they are.

    Attributes:
        rates: of limited queues: (jobs, seconds).
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._orders: dict[tuple[str, str], float] = {}
        self.rates: dict[str, tuple[float, float]] = {}

    async def load(self) -> None:
        """Read what holds."""
        rows = await self._db.read(sql.ORDERS)
        self._orders = {(kind, name): at for kind, name, at in rows}
        limits = await self._db.read(sql_limits.QUEUE_RATES)
        self.rates = {queue: (most, seconds) for queue, most, seconds in limits}

    def all(self) -> dict[tuple[str, str], float]:
        """Kind and name of every order, and since when it holds."""
        return dict(self._orders)

    def has(self, kind: Kind, *names: str | None) -> bool:
        """Whether an order holds for one of some names."""
        return any((kind, name) in self._orders for name in names)

    def names(self, kind: Kind) -> list[str]:
        """What an order of a kind holds for."""
        return [name for known, name in self._orders if known == kind]

    async def give(self, kind: Kind, name: str, at: float) -> None:
        """Order something; twice is once."""
        await self._db.write(sql.ORDER, [(kind, name, at)])
        self._orders.setdefault((kind, name), at)

    async def withdraw(self, kind: Kind, names: Iterable[str]) -> None:
        """It no longer holds."""
        gone = [(kind, name) for name in names]
        await self._db.write(sql.WITHDRAW, gone)
        for order in gone:
            self._orders.pop(order, None)

    async def limit(self, queue: str, rate: tuple[float, float], at: float) -> None:
        """Limit a queue, what waits here included; again: by another rate."""
        async with self._db.transaction() as work:
            await work.run(sql.ORDER, ("limited", queue, at))
            await work.run(sql_limits.LIMIT_QUEUE, (queue, *rate, at))
            await work.run(sql_limits.HOLD_BACKLOG, (queue,))
        self._orders.setdefault(("limited", queue), at)
        self.rates[queue] = rate

    async def unlimit(self, queue: str) -> None:
        """Let a queue go as fast as it can; what has other limits keeps them."""
        async with self._db.transaction() as work:
            await work.run(sql.WITHDRAW, ("limited", queue))
            await work.run(sql_limits.UNLIMIT_QUEUE, (queue,))
            await work.run(sql_limits.LET_LANES_GO, (queue,))
            await work.run(sql_limits.LET_BACKLOG_GO, (queue,))
        self._orders.pop(("limited", queue), None)
        self.rates.pop(queue, None)

    # -- jobs ----------------------------------------------------------------------------------

    async def cancel(self, ids: Sequence[str], at: float) -> dict[str, Fate]:
        """Cancel jobs: those that wait here at once; an order remains for those that do not."""
        fates: dict[str, Fate] = {}
        async with self._db.transaction() as work:
            for job_id in ids:
                state = (await work.read(sql.WHEREABOUTS, (job_id,)))[0][0]
                if state == "done":
                    fates[job_id] = "over"
                    continue
                await work.run(sql.ORDER, ("cancel", job_id, at))
                if state in {"released", "unknown"}:
                    fates[job_id] = "asked"
                else:
                    fates[job_id] = "cancelled"
                    await work.run(sql.WITHDRAW, ("cancel", job_id))
        asked = [job_id for job_id, fate in fates.items() if fate == "asked"]
        self._orders.update({("cancel", job_id): at for job_id in asked})
        return fates

    async def cancelled(self, outcomes: Sequence[Ended], at: float) -> list[str]:
        """Workers, or a purge, have cancelled these jobs in these attempts; those that are over.

        Of a job whose row has not ended the order holds on: another job has its id.
        """
        ids = [outcome[0] for outcome in outcomes]
        async with self._db.transaction() as work:
            await work.many(sql.CANCELLED, [(at, *outcome) for outcome in outcomes])
            await work.many(sql.OBEYED, [(job_id,) for job_id in ids])
            left = {str(row[0]) for row in await work.read(sql.ORDERS_LEFT, (json.dumps(ids),))}
        over = [job_id for job_id in ids if job_id not in left]
        for job_id in over:
            self._orders.pop(("cancel", job_id), None)
        return over

    async def purge(self, queue: str, at: float) -> int:
        """Cancel everything of a queue that waits here; how many."""
        return await self._db.write(sql.PURGE_QUEUE, [(at, queue)])

    async def outlived(self, now: float) -> list[str]:
        """Cancelled jobs whose order has nothing left to do, and the oldest ones of too many."""
        old = [str(row[0]) for row in await self._db.read(sql.OLD_CANCELS, (now - _CANCELS_KEPT,))]
        known = {name: at for (kind, name), at in self._orders.items() if kind == "cancel"}
        left = sorted(known.keys() - set(old), key=lambda name: (known[name], name))
        return [*old, *left[: max(0, len(left) - MOST_CANCELS)]]
