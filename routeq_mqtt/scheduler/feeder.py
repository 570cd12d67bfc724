"""Feeds parked rows to queues that have live workers, in order, as fast as they finish."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.publisher import Publisher

_BATCH = 500
_EMPTY_AGAIN = 1.0
"""Seconds until a queue is tried again whose workers are online but not yet in their group."""


class Feeder:
    """Keeps a bounded number of rows of each queue in the workers' hands.

    Args:
        context: what the roles share.
        publisher: releases rows.
    """

    def __init__(self, context: Context, publisher: Publisher) -> None:
        self._context = context
        self._publisher = publisher
        self._rejected: set[str] = set()

    async def run(self) -> None:
        """Feed whenever something was parked, a worker came or a row was done."""
        while True:
            fed = await self.feed()
            if not fed:
                wait = _EMPTY_AGAIN if self._rejected else None
                await self._context.parked.wait(wait)

    async def feed(self) -> int:
        """One pass over all queues; how many rows workers took."""
        self._rejected.clear()
        fed = 0
        for queue in await self._context.store.parked_queues():
            if self._context.has_home(queue):
                fed += await self._feed(queue)
        return fed

    async def _feed(self, queue: str) -> int:
        room = self._publisher.room(queue)
        if room < min(_BATCH, self._publisher.window // 2):
            return 0  # a few rows at a time would cost a commit each
        rows = await self._context.store.parked(queue, min(room, _BATCH))
        taken = await self._publisher.release(rows)
        if taken < len(rows):
            self._rejected.add(queue)
        return taken
