"""Publishes rows: released and committed first, so that no death makes two of one."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.failing import expired
from routeq_mqtt.scheduler.pace import Pace
from routeq_mqtt.transport.seam import NO_MATCHING_SUBSCRIBERS, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.rows import Row

log = logging.getLogger(__name__)

FEED_WINDOW = 2_000
"""Rows of one queue that are released and not yet done, at most: what the broker holds of ours."""


class Publisher:
    """Releases rows to the delivery topic.

    Attributes:
        in_flight: rows of each queue that are released and not yet done.
        unheard: rows of each queue that an earlier scheduler released, and that nobody has said to
            hold since: they take no room from the workers that are here. Perhaps nobody has them,
            and the census that finds out may have to wait for workers that never come back.
        publishing: ids of rows that are on their way and not yet acknowledged.
        unsure: ids of released rows whose PUBACK we did not see; a census makes sure.
        releasing: called with the ids of rows that are about to be released.

    Args:
        context: what the roles share.
        window: rows of one queue in the workers' hands at most.
    """

    def __init__(self, context: Context, *, window: int = FEED_WINDOW) -> None:
        self._context = context
        self.window = window
        self.in_flight: Counter[str] = Counter()
        self.unheard: Counter[str] = Counter()
        self.publishing: set[str] = set()
        self.unsure: set[str] = set()
        self.releasing: Callable[[set[str]], None] = lambda ids: None
        self._pace = Pace()

    async def begin(self) -> None:
        """Take the rows over that an earlier scheduler released."""
        await self.count()
        self.unheard = Counter(self.in_flight)

    async def count(self) -> None:
        """Take the number of released rows from the store."""
        counts = await self._context.store.counts()
        if any(count.limited for count in counts.values()):
            self._context.limited = True
        self.in_flight = Counter({queue: count.released for queue, count in counts.items()})
        self._pace.measure(self.in_flight, self._context.clock.monotonic())

    def room(self, queue: str) -> int:
        """How many more rows of a queue may be released now."""
        held = max(0, self.in_flight[queue] - self.unheard[queue])
        return max(0, self.limit(queue) - held)

    def heard_of(self, queue: str, rows: int) -> None:
        """A worker says that it holds so many of the rows that we were unsure of."""
        self.unheard[queue] = max(0, self.unheard[queue] - rows)

    def limit(self, queue: str) -> int:
        """Rows of a queue that the workers should hold at most."""
        if self._context.surroundings.shares_queue:
            return self.window  # that broker hands them out one by one
        slots = sum(status.concurrency for status in self._context.fleet.online(queue))
        return min(self.window, self._pace.limit(queue, slots))

    def came_back(self, queues: Iterable[str]) -> None:
        """Rows of these queues came back unstarted: they were not done."""
        for queue in queues:
            self._pace.fed(queue, -1)

    async def release(self, rows: Sequence[Row]) -> int:
        """Release rows and publish them; how many somebody took. The others are parked again.

        A death after the commit leaves rows that nobody may hold: the next census finds them.
        So does a connection that breaks before the PUBACK.
        """
        context = self._context
        rows = await self._without_expired(rows)
        ids = {row.id for row in rows}
        self.publishing |= ids
        self.releasing(ids)
        try:
            rows, reasons = await self._publish(rows)
        except BaseException:
            self.unsure |= ids
            raise
        finally:
            self.publishing -= ids
        self.unsure |= {r.id for r, reason in zip(rows, reasons, strict=True) if reason is None}
        back = [
            row
            for row, reason in zip(rows, reasons, strict=True)
            if reason is not None and (reason == NO_MATCHING_SUBSCRIBERS or reason != SUCCESS)
        ]
        if back:
            log.info("nobody took %d rows, parked again queue=%s", len(back), back[0].queue)
            await context.store.park([row.id for row in back])
            self._add(back, -1)
        return len(rows) - len(back)

    async def _publish(self, rows: Sequence[Row]) -> tuple[list[Row], list[int | None]]:
        """What was published, and each one's reason."""
        context = self._context
        rows = await context.store.release(rows)
        self._add(rows, 1)
        context.hook("released")
        reasons = await context.publish_all([(context.delivery(r.queue), r.envelope) for r in rows])
        context.hook("published")
        return rows, reasons

    def _add(self, rows: Sequence[Row], sign: int) -> None:
        for queue, number in Counter(row.queue for row in rows).items():
            self.in_flight[queue] += sign * number
            self._pace.fed(queue, sign * number)

    async def _without_expired(self, rows: Sequence[Row]) -> list[Row]:
        now = self._context.clock.now()
        late = [row for row in rows if row.expires_at is not None and row.expires_at <= now]
        if late:
            await self._context.store.fail([expired(row, now) for row in late], now)
            self._context.parked.fire()
        return [row for row in rows if row not in late]
