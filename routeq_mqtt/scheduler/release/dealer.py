"""Chooses the session that gets a row, where the broker does not share: the one with most room."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from routeq_mqtt.transport.base import NO_MATCHING_SUBSCRIBERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from routeq_mqtt.presence.status import WorkerLoad, WorkerStatus
    from routeq_mqtt.scheduler.context import Context

_ABSENT_FOR = 1.0
"""Seconds for which a session that turned out to have no subscription gets nothing."""


class Dealer:
    """Knows what each worker holds: its last report, and what was dealt to it since.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reported: dict[str, WorkerLoad] = {}
        self._dealt: Counter[str] = Counter()
        self._absent: dict[str, float] = {}

    def deal(self, queue: str) -> str | None:
        """The topic of the session that gets the next row of a queue; None: none for now.

        The worker is the one whose slots would be taken least with this row: one with a free slot
        is always chosen before one without. Where all are full, more goes to those with more slots,
        but nothing as long as a worker that has just come is about to subscribe.
        """
        best: tuple[str, str] | None = None
        least, somebody_comes = float("inf"), False
        for status in self._context.fleet.online(queue):
            session, held = status.session_of(queue), self._held(status)
            if session is None or held is None:
                continue
            topic = self._context.topics.deal(session)
            if self._is_absent(topic):
                somebody_comes = True
                continue
            full = (held + 1) / max(1, status.concurrency)
            if full < least:
                best, least = (status.id, topic), full
        if best is None or (somebody_comes and least > 1):
            return None
        worker, topic = best
        self._dealt[worker] += 1
        return topic

    def answered(self, answers: Iterable[tuple[str | None, int | None]]) -> None:
        """Topics that were dealt to, each with the reason of its PUBACK."""
        now = self._context.clock.monotonic()
        absent = {topic for topic, reason in answers if reason == NO_MATCHING_SUBSCRIBERS and topic}
        if absent or self._absent:
            self._absent = {topic: until for topic, until in self._absent.items() if now < until}
            self._absent.update(dict.fromkeys(absent, now + _ABSENT_FOR))

    def _held(self, status: WorkerStatus) -> int | None:
        """Jobs that a worker holds; None: it takes none."""
        context, worker = self._context, status.id
        load = context.fleet.members[worker].load
        if load is not self._reported.get(worker):
            self._forget_others()
            self._reported[worker] = load
            self._dealt[worker] = 0
        if load.drained or context.orders.has("drained", worker, status.name):
            return None
        return self._dealt[worker] + sum(load.waiting.values()) + sum(load.active.values())

    def _forget_others(self) -> None:
        """Of workers that are gone nothing is kept."""
        members = self._context.fleet.members
        if len(self._reported) > 2 * len(members):
            self._reported = {one: load for one, load in self._reported.items() if one in members}
            self._dealt = Counter({one: self._dealt[one] for one in self._reported})

    def _is_absent(self, topic: str) -> bool:
        until = self._absent.get(topic)
        return until is not None and self._context.clock.monotonic() < until
