"""Moves due rows to the workers' delivery topic, within milliseconds of their time."""

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
_LOOK_EVERY = 10.0
"""Seconds of waiting at most while rows are delayed: the wall clock may be set meanwhile."""


class Releaser:
    """Waits by the monotonic clock, decides by the wall clock.

    Args:
        context: what the roles share.
        publisher: releases rows.
    """

    def __init__(self, context: Context, publisher: Publisher) -> None:
        self._context = context
        self._publisher = publisher

    async def run(self) -> None:
        """Release what is due, then wait for what is due next; nothing delayed, no polling."""
        delayed = self._context.delayed
        while True:
            since = delayed.fired
            try:
                if await self.release_due():
                    continue
                due = await self._context.store.next_due()
            except StoreUnavailable as error:
                log.error("cannot release, rows wait: error=%s", error)
                await asyncio.sleep(_STORE_AGAIN)
                continue
            wait = None
            if due is not None:
                wait = min(max(0.0, due - self._context.clock.now()), _LOOK_EVERY)
            await delayed.wait(wait, since=since)

    async def release_due(self) -> int:
        """One pass; how many rows it moved."""
        context = self._context
        rows = await context.store.due(context.clock.now, _BATCH)
        now, later = [], []
        room = {queue: self._publisher.room(queue) for queue in {row.queue for row in rows}}
        for row in rows:
            if row.is_limited:
                context.limited = True  # parked, it waits for its turn
                later.append(row)
            elif context.has_home(row.queue) and room[row.queue] > 0:
                room[row.queue] -= 1
                now.append(row)
            else:
                later.append(row)
        if later:
            await context.store.park([row.id for row in later])
        if now:
            await self._publisher.release(now)
        if later:
            context.parked.fire()
        return len(rows)
