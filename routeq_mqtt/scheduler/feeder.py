"""Feeds parked rows to queues that have live workers, in order, as fast as they finish."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.rows import StoreUnavailable

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.publisher import Publisher

log = logging.getLogger(__name__)

_BATCH = 500
_STORE_AGAIN = 1.0
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
        self._open: set[str] = set()

    async def run(self) -> None:
        """Feed whenever something was parked, a worker came or a row was done."""
        parked = self._context.parked
        while True:
            since = parked.fired
            try:
                fed = await self.feed()
            except StoreUnavailable as error:
                log.error("cannot feed, rows wait: error=%s", error)
                await asyncio.sleep(_STORE_AGAIN)
                continue
            if not fed:
                wait = _EMPTY_AGAIN if self._rejected else None
                await parked.wait(wait, since=since)

    async def feed(self) -> int:
        """One pass over all queues; how many rows workers took."""
        self._rejected.clear()
        fed = 0
        for queue in await self._context.store.parked_queues():
            if self._context.has_home(queue):
                fed += await self._feed(queue)
            else:
                self._open.discard(queue)
        return fed

    async def _feed(self, queue: str) -> int:
        room = self._publisher.room(queue)
        if room < min(_BATCH, max(1, self._publisher.limit(queue) // 2)):
            return 0  # a few rows at a time would cost a commit each
        # A worker is online a moment before it is in its group. One row finds out: of many, those
        # that come before that moment would be parked again, behind the others.
        batch = _BATCH if queue in self._open else 1
        rows = await self._context.store.parked(queue, min(room, batch))
        taken = await self._publisher.release(rows)
        if taken < len(rows):
            self._open.discard(queue)
            self._rejected.add(queue)
        elif rows:
            self._open.add(queue)
        return taken
