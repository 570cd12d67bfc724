"""Moves due rows to the workers' delivery topic, within milliseconds of their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.passes import repeat

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.release.publisher import Publisher

_BATCH = 500
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
        await repeat(self._look, self._context.delayed, "cannot release, rows wait")

    async def _look(self) -> float | None:
        if await self.release_due():
            return 0.0
        due = await self._context.store.next_due()
        return None if due is None else min(max(0.0, due - self._context.clock.now()), _LOOK_EVERY)

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
            context.parked.notify()
        return len(rows)
