"""Chooses the session that gets a row, where the broker does not share: the one with most room."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from routeq_mqtt.transport.base import NO_MATCHING_SUBSCRIBERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.presence.status import WorkerLoad, WorkerStatus
    from routeq_mqtt.scheduler.context import Context

_ABSENT_FOR = 1.0
"""Seconds for which a session that turned out to have no subscription gets nothing."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A worker that takes rows of a queue.

    Attributes:
        worker: its id.
        topic: of its session for the queue.
        held: jobs that it held at its last report.
        slots: jobs that it runs at once.
    """

    worker: str
    topic: str
    held: int
    slots: int


@dataclass(slots=True)
class _Hand:
    """The workers of one queue, while one batch is dealt.

    Attributes:
        candidates: in the order of the fleet.
        heap: how full each would be with one more, and its place in `candidates`. May be too low
            for a worker that has got rows of another queue meanwhile, never too high.
        somebody_comes: a worker is about to subscribe.
    """

    candidates: list[_Candidate] = field(default_factory=list)
    heap: list[tuple[float, int]] = field(default_factory=list)
    somebody_comes: bool = False


class Dealer:
    """Knows what each worker holds: its last report, and what was dealt to it since.

    Args:
        context: what the roles share.

    Attributes:
        looks: how often a worker was considered, since the start.
    """

    def __init__(self, context: Context) -> None:
        self.looks: int = 0
        self._context = context
        self._reported: dict[str, WorkerLoad] = {}
        self._dealt: Counter[str] = Counter()
        self._absent: dict[str, float] = {}

    def deal(self, queues: Sequence[str]) -> list[str | None]:
        """The topic of the session that gets each row of a batch; None: none for now.

        The worker is the one whose slots would be taken least with this row: one with a free slot
        is always chosen before one without. Where all are full, more goes to those with more slots,
        but nothing as long as a worker that has just come is about to subscribe.

        All workers of a queue are looked at once for the batch; after that each row costs the
        logarithm of their number.

        Args:
            queues: the queue of each row, in order.
        """
        hands = {queue: self._hand(queue) for queue in dict.fromkeys(queues)}
        return [self._next(hands[queue]) for queue in queues]

    def _hand(self, queue: str) -> _Hand:
        hand = _Hand()
        for status in self._context.fleet.online(queue):
            self.looks += 1
            session, held = status.session_of(queue), self._held(status)
            if session is None or held is None:
                continue
            topic = self._context.topics.deal(session)
            if self._is_absent(topic):
                hand.somebody_comes = True
                continue
            one = _Candidate(status.id, topic, held, max(1, status.concurrency))
            hand.heap.append((self._full(one), len(hand.candidates)))
            hand.candidates.append(one)
        heapq.heapify(hand.heap)
        return hand

    def _next(self, hand: _Hand) -> str | None:
        heap = hand.heap
        while heap:
            self.looks += 1
            least, place = heap[0]
            one = hand.candidates[place]
            full = self._full(one)
            if full > least:
                heapq.heapreplace(heap, (full, place))
                continue
            if hand.somebody_comes and full > 1:
                return None
            self._dealt[one.worker] += 1
            heapq.heapreplace(heap, (self._full(one), place))
            return one.topic
        return None

    def _full(self, one: _Candidate) -> float:
        """The part of its slots that would be taken with one more row."""
        return (one.held + self._dealt[one.worker] + 1) / one.slots

    def answered(self, answers: Iterable[tuple[str | None, int | None]]) -> None:
        """Topics that were dealt to, each with the reason of its PUBACK."""
        now = self._context.clock.monotonic()
        absent = {topic for topic, reason in answers if reason == NO_MATCHING_SUBSCRIBERS and topic}
        if absent or self._absent:
            self._absent = {topic: until for topic, until in self._absent.items() if now < until}
            self._absent.update(dict.fromkeys(absent, now + _ABSENT_FOR))

    def _held(self, status: WorkerStatus) -> int | None:
        """Jobs that a worker held when it reported last; None: it takes none."""
        context, worker = self._context, status.id
        load = context.fleet.members[worker].load
        if load is not self._reported.get(worker):
            self._forget_others()
            self._reported[worker] = load
            self._dealt[worker] = 0
        if load.drained or context.orders.has("drained", worker, status.name):
            return None
        return sum(load.waiting.values()) + sum(load.active.values())

    def _forget_others(self) -> None:
        """Of workers that are gone nothing is kept."""
        members = self._context.fleet.members
        if len(self._reported) > 2 * len(members):
            self._reported = {one: load for one, load in self._reported.items() if one in members}
            self._dealt = Counter({one: self._dealt[one] for one in self._reported})

    def _is_absent(self, topic: str) -> bool:
        until = self._absent.get(topic)
        return until is not None and self._context.clock.monotonic() < until
