"""Feeds parked rows to queues that have live workers, in order, as fast as they finish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.passes import repeat

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.release.publisher import Publisher

_BATCH = 500
_EMPTY_AGAIN = 1.0
"""Seconds until a queue is tried again whose workers are online but not yet in their group."""

_FEW = 50
_REST = 2e-5
_LONGEST_REST = 0.5
"""A look at all queues with parked rows costs some 5 us for each: beyond a few it is followed by a
rest of 20 us for each, 0.5 s at most. Meanwhile only queues are fed that took rows before."""


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
        self._hungry: set[str] = set()
        self._look_at = float("-inf")
        self._looked: int | None = None

    async def run(self) -> None:
        """Feed whenever something was parked, a worker came or a row was done."""
        await repeat(self._look, self._context.parked, "cannot feed, rows wait")

    async def _look(self) -> float | None:
        return 0.0 if await self.feed() else self._pause()

    def _pause(self) -> float | None:
        """Seconds until a pass is due although nothing happens; None: none is."""
        if self._looked != self._context.parked.fired:  # something happened since the last look
            return max(0.0, self._look_at - self._context.clock.monotonic())
        return _EMPTY_AGAIN if self._rejected else None

    async def feed(self) -> int:
        """One pass: over all queues, or, soon after it, over those that took rows.

        Returns:
            How many rows workers took.
        """
        self._rejected.clear()
        fed = 0
        for queue in await self._queues():
            if self._context.has_home(queue):
                fed += await self._feed(queue)
            else:
                self._open.discard(queue)
                self._hungry.discard(queue)
        return fed

    async def _queues(self) -> list[str]:
        now = self._context.clock.monotonic()
        if now < self._look_at:
            return sorted(self._hungry)
        looked = self._context.parked.fired
        queues = await self._context.store.parked_queues()
        self._looked = looked
        self._look_at = now + min(_REST * max(0, len(queues) - _FEW), _LONGEST_REST)
        self._hungry.clear()
        return queues

    async def _feed(self, queue: str) -> int:
        room = self._publisher.room(queue)
        if room < min(_BATCH, max(1, self._publisher.limit(queue) // 2)):
            return 0  # a few rows at a time would cost a commit each
        # A worker is online a moment before it is in its group. One row finds out: of many, those
        # that come before that moment would be parked again, behind the others.
        batch = _BATCH if queue in self._open else 1
        rows = await self._context.store.parked(queue, min(room, batch))
        taken = await self._publisher.release(rows)
        if taken:
            self._hungry.add(queue)
        else:
            self._hungry.discard(queue)
        if taken < len(rows):
            self._open.discard(queue)
            self._rejected.add(queue)
        elif rows:
            self._open.add(queue)
        return taken
