"""Publishes rows, and finds out which one is larger than a broker takes that does not say so.

MQTT 3.1.1 has no way to refuse a message: the broker ends the connection, and with it all else that
is under way. Published again after each reconnect, one such row would keep the scheduler
reconnecting without end. What workers hand over is treated alike: see `bus.send.retry.HandOver`.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.release.dealer import Dealer
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID
from routeq_mqtt.transport.base import NO_MATCHING_SUBSCRIBERS, PACKET_TOO_LARGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.store.rows import Row
    from routeq_mqtt.transport.base import Connection

log: logging.Logger = logging.getLogger(__name__)

_SUSPECT = 2
"""Connections that end at a row beside others, before it is published alone."""

_ALONE = 3
"""Connections that end at it then, before it counts as too large."""

_MOST_LOST = 20
"""Tries of a row that is alone, at most: the connection may end for other causes."""

_MOST_COUNTED = 10_000


class PacketLimit:
    """Learns how much the broker takes from the connections that it ends.

    What was learned holds for the connection on which no such row is published any more: a broker
    that was restarted may have another limit.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._dealer = Dealer(context)
        self._lost: Counter[str] = Counter()
        self._taken = 0
        self._too_large: float = float("inf")
        self._learned_on: Connection | None = None

    async def publish(self, rows: Sequence[Row]) -> list[int | None]:
        """Publish rows in order, but for those that are suspected: these come last, each alone.

        Returns:
            The reason of each row: of its PUBACK, `PACKET_TOO_LARGE` for one that the broker would
            end the connection at, or None where the connection ended first.
        """
        if self._learned_on is not None and self._learned_on is not self._context.link.connection:
            self._learned_on, self._too_large = None, float("inf")
        if not self._lost and self._learned_on is None:  # so it is nearly always
            return await self._publish_beside(rows)
        reasons: dict[str, int | None] = dict.fromkeys(
            (row.id for row in rows if len(row.envelope) >= self._too_large), PACKET_TOO_LARGE
        )
        others = [row for row in rows if row.id not in reasons]
        beside = [row for row in others if not self._is_suspect(row)]
        for row, reason in zip(beside, await self._publish_beside(beside), strict=True):
            reasons[row.id] = reason
        for row in others:
            if row.id not in reasons:
                reasons[row.id] = await self._publish_alone(row)
        return [reasons[row.id] for row in rows]

    def _is_suspect(self, row: Row) -> bool:
        return self._lost[row.id] >= _SUSPECT and len(row.envelope) > self._taken

    async def _publish_beside(self, rows: Sequence[Row]) -> list[int | None]:
        reasons = await self._publish(rows)
        for row, reason in zip(rows, reasons, strict=True):
            self._note(row, reason)
        return reasons

    async def _publish(self, rows: Sequence[Row]) -> list[int | None]:
        if not self._context.surroundings.deals:
            topic = self._context.delivery
            return await self._context.publish_all(
                [(topic(row.queue), row.envelope) for row in rows]
            )
        dealt = self._dealer.deal([row.queue for row in rows])
        sent = [
            (topic, row.envelope)
            for row, topic in zip(rows, dealt, strict=True)
            if topic is not None
        ]
        answers = iter(await self._context.publish_all(sent))
        reasons = [NO_MATCHING_SUBSCRIBERS if one is None else next(answers) for one in dealt]
        self._dealer.answered(zip(dealt, reasons, strict=True))
        return reasons

    def _note(self, row: Row, reason: int | None) -> None:
        size = len(row.envelope)
        if reason is not None:
            if reason != PACKET_TOO_LARGE:
                self._taken = max(self._taken, size)
            if self._lost:
                del self._lost[row.id]
        elif size > self._taken:
            if len(self._lost) >= _MOST_COUNTED:
                self._lost.clear()
            self._lost[row.id] += 1

    async def _publish_alone(self, row: Row) -> int | None:
        """Behind a small message, which shows that the connection holds without it."""
        struck = 0
        small = self._context.topics.probe(f"{SCHEDULER_CLIENT_ID}/nobody"), b""
        for _ in range(_MOST_LOST):
            [proof] = await self._context.publish_all([small])
            if proof is None:
                continue
            [reason] = await self._publish([row])
            if reason is not None:
                self._note(row, reason)
                return reason
            struck += 1
            if struck >= _ALONE:
                await self._learn(row)
                return PACKET_TOO_LARGE
        return None

    async def _learn(self, row: Row) -> None:
        size = len(row.envelope)
        log.warning("the broker ends the connection at a job of bytes=%d id=%s", size, row.id)
        self._too_large = min(self._too_large, size)
        del self._lost[row.id]
        self._learned_on = await self._context.link.ready()
