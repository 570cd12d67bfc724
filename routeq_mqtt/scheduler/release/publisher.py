"""Publishes rows: released and committed first, so that no death makes two of one."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.release.packet_limit import PacketLimit
from routeq_mqtt.scheduler.release.throughput import Throughput
from routeq_mqtt.scheduler.store.failed_records import expired, too_large
from routeq_mqtt.security.waiting import renewed
from routeq_mqtt.transport.base import PACKET_TOO_LARGE, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.store.rows import Row

log: logging.Logger = logging.getLogger(__name__)

FEED_WINDOW = 2_000
"""Rows of one queue that are released and not yet done, at most: what the broker holds of ours."""


class Publisher:
    """Releases rows to the delivery topic.

    Attributes:
        in_flight: rows of each queue that are released and not yet done.
        unheard: rows of each queue that an earlier scheduler released, and that no worker has
            reported to hold since: they take no room from the workers that are here. Perhaps no
            worker has them, and the census that finds out may have to wait for workers that never
            come back.
        publishing: ids of rows that are on their way and not yet acknowledged.
        unconfirmed: ids of released rows whose PUBACK we did not see; a census makes sure.
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
        self.unconfirmed: set[str] = set()
        self.releasing: Callable[[set[str]], None] = lambda ids: None
        self._pace = Throughput()
        self._limit = PacketLimit(context)

    async def begin(self) -> None:
        """Take the rows over that an earlier scheduler released."""
        await self.count()
        self.unheard = Counter(self.in_flight)

    async def count(self) -> None:
        """Take the number of released rows from the store."""
        released, limited = await self._context.store.in_flight()
        if limited:
            self._context.limited = True
        self.in_flight = Counter(released)
        self._pace.measure(self.in_flight, self._context.clock.monotonic())

    def room(self, queue: str) -> int:
        """How many more rows of a queue may be released now."""
        held = max(0, self.in_flight[queue] - self.unheard[queue])
        return max(0, self.limit(queue) - held)

    def heard_of(self, queue: str, rows: int) -> None:
        """A worker reports that it holds this many of the rows that we were unsure of."""
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

        A death after the commit leaves rows that perhaps no worker holds: the next census finds
        them. So does a connection that breaks before the PUBACK.
        """
        context = self._context
        rows = await self._without_expired(rows)
        ids = {row.id for row in rows}
        self.publishing |= ids
        self.releasing(ids)
        try:
            rows, reasons = await self._publish(rows)
        except BaseException:
            self.unconfirmed |= ids
            raise
        finally:
            self.publishing -= ids
        told = list(zip(rows, reasons, strict=True))
        self.unconfirmed |= {row.id for row, reason in told if reason is None}
        large = [row for row, reason in told if reason == PACKET_TOO_LARGE]
        if large:
            await self._fail_too_large(large)
        back = [row for row, reason in told if reason not in {None, SUCCESS, PACKET_TOO_LARGE}]
        if back:
            log.info(
                "no subscriber for %d jobs; they wait until a worker connects queue=%s",
                len(back),
                back[0].queue,
            )
            await context.store.park([row.id for row in back])
            self._add(back, -1)
        return len(rows) - len(back) - len(large)

    async def _fail_too_large(self, rows: Sequence[Row]) -> None:
        log.error("%d jobs are larger than the broker takes queue=%s", len(rows), rows[0].queue)
        now = self._context.clock.now()
        await self._context.store.fail([too_large(row, now) for row in rows], now)
        self._add(rows, -1)
        self._context.parked.notify()

    async def _publish(self, rows: Sequence[Row]) -> tuple[list[Row], list[int | None]]:
        """What was published, and each one's reason."""
        context = self._context
        rows = self._signed(await context.store.release(rows))
        self._add(rows, 1)
        context.hook("released")
        reasons = await self._limit.publish(rows)
        context.hook("published")
        return rows, reasons

    def _signed(self, rows: list[Row]) -> list[Row]:
        """Signatures that lapsed while their jobs waited here are renewed."""
        guard = self._context.guard
        if guard.signer is None:
            return rows
        now = self._context.clock.wall()
        return [replace(row, envelope=renewed(guard, row.envelope, now)) for row in rows]

    def _add(self, rows: Sequence[Row], sign: int) -> None:
        for queue, number in Counter(row.queue for row in rows).items():
            self.in_flight[queue] += sign * number
            self._pace.fed(queue, sign * number)

    async def _without_expired(self, rows: Sequence[Row]) -> list[Row]:
        now = self._context.clock.now()
        late = [row for row in rows if row.expires_at is not None and row.expires_at <= now]
        if late:
            await self._context.store.fail([expired(row, now) for row in late], now)
            self._context.parked.notify()
        return [row for row in rows if row not in late]
