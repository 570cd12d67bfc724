"""Publishes the numbers of each queue, retained: only what has changed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.rows import Counts, StoreUnavailable
from routeq_mqtt.scheduler.store.sql import observe as sql
from routeq_mqtt.wire.observe.numbers import QueueNumbers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from routeq_mqtt.presence.fleet import Fleet
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.observe.statistics import Statistics
    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection
    from routeq_mqtt.transport.base import Connection, Message

log: logging.Logger = logging.getLogger(__name__)

_EVERY = 2.0
_SHOWN_FOR = 86_400.0
"""Seconds for which a queue is shown that has no jobs and no workers any more."""


class Numbers:
    """What each queue looks like now.

    Args:
        context: what the roles share.
        statistics: outcomes, and what runs for how long.

    Attributes:
        queues: as they were counted last.
    """

    def __init__(self, context: Context, statistics: Statistics) -> None:
        self._context = context
        self._statistics = statistics
        self._said: dict[str, QueueNumbers] = {}
        self._connection: Connection | None = None
        self._retained: set[str] = set()
        self._oldest: dict[str, float] = {}
        self._looked: tuple[int, set[str]] | None = None
        self.queues: dict[str, QueueNumbers] = {}

    def heard(self, message: Message) -> bool:
        """Take a retained message of an earlier scheduler; whether it was one of these."""
        prefix = self._context.topics.numbers("")
        if not message.topic.startswith(prefix):
            return False
        if message.retain and message.payload:
            self._retained.add(message.topic.removeprefix(prefix))
        return True

    async def run(self) -> None:
        """Count and publish every two seconds."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.publish()
            except StoreUnavailable as error:
                log.debug("cannot count queues: %s", error)

    async def publish(self) -> None:
        """Count all queues and publish those that have changed; clear those that are gone.

        Raises:
            StoreUnavailable: they cannot be counted now.
        """
        self.queues = await self.count()
        connection = self._context.link.connection
        if connection is None:
            return
        if connection is not self._connection:  # the broker may have lost its memory
            self._connection, self._said = connection, {}
        topics = self._context.topics
        for queue, numbers in self.queues.items():
            said = self._said.get(queue)
            if said is None or replace(said, at=numbers.at) != numbers:
                connection.publish(topics.numbers(queue), numbers.encode(), retain=True)
                self._said[queue] = numbers
        for queue in {*self._said, *self._retained} - self.queues.keys():
            connection.publish(topics.numbers(queue), b"", retain=True)
            self._said.pop(queue, None)
        self._retained.clear()

    async def count(self) -> dict[str, QueueNumbers]:
        """The numbers of all queues that are known.

        Raises:
            StoreUnavailable: they cannot be counted now.
        """
        context = self._context
        counts = await context.store.counts()
        now = context.clock.now()
        paused = set(context.orders.names("paused"))
        by_queue = _Fleet.of(context.fleet, self._statistics.since)
        recent = (q for q, at in self._statistics.active.items() if at > now - _SHOWN_FOR)
        names = {
            *counts, *recent, *paused, *context.orders.rates, *by_queue.workers,
            *context.surroundings.waiting,
        }  # fmt: skip
        busy = [queue for queue, one in counts.items() if one.parked or one.released or one.limited]
        running = {job for one in context.fleet.members.values() for job in one.load.running}
        written = context.store.database.written.fired
        if (written, running) != self._looked:
            self._oldest = await context.store.database.look(lambda db: _oldest(db, busy, running))
            self._looked = (written, running)
        oldest = self._oldest
        return {
            queue: self._one(
                queue,
                counts.get(queue, Counts()),
                oldest.get(queue),
                by_queue,
                paused=queue in paused,
                now=now,
            )
            for queue in sorted(names)
        }

    def _one(
        self,
        queue: str,
        counts: Counts,
        oldest: float | None,
        fleet: _Fleet,
        *,
        paused: bool,
        now: float,
    ) -> QueueNumbers:
        context = self._context
        rate = context.orders.rates.get(queue)
        return QueueNumbers(
            queue=queue,
            delayed=counts.delayed,
            parked=counts.parked + context.surroundings.waiting.get(queue, 0),
            waiting=fleet.waiting[queue],
            running=fleet.running[queue],
            held=counts.held,
            limited=counts.limited,
            failed=counts.failed,
            oldest_at=oldest,
            running_since=fleet.since.get(queue) if fleet.running[queue] else None,
            workers=fleet.workers[queue],
            slots=fleet.slots[queue],
            done_total=self._statistics.done[queue],
            failed_total=self._statistics.failed[queue],
            paused=paused,
            rate=None if rate is None else (float(rate[0]), float(rate[1])),
            exact=context.surroundings.shares_queue,
            at=now,
        )


@dataclass(slots=True)
class _Fleet:
    """What workers say, by queue: one look at each worker, however many queues there are."""

    workers: Counter[str] = field(default_factory=Counter)
    slots: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    running: Counter[str] = field(default_factory=Counter)
    since: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, fleet: Fleet, since: Mapping[str, Mapping[str, float]]) -> _Fleet:
        """Of all workers that have a status, and of when their longest runs began."""
        found = cls()
        for status in fleet.online():
            for queue in status.queues:
                found.workers[queue] += 1
                found.slots[queue] += status.concurrency
        for worker, member in fleet.members.items():
            if member.status is None:
                continue
            found.waiting.update(member.load.waiting)
            found.running.update(member.load.active)
            for queue, at in since.get(worker, {}).items():
                found.since[queue] = min(at, found.since.get(queue, at))
        return found


def _oldest(
    db: SyncConnection, queues: Collection[str], running: Collection[str]
) -> dict[str, float]:
    """For each queue, when the job became due that has waited longest."""
    found: dict[str, float] = {}
    for queue in queues:
        times = [
            row[0]
            for statement in (sql.OLDEST_PARKED, sql.OLDEST_LIMITED)
            for row in db.execute(statement, (queue,))
        ]
        # Ids are in the order of their making: the first that no worker runs.
        for job_id, run_at in db.execute(sql.OLDEST_RELEASED, (queue,)):
            if job_id not in running:
                times.append(run_at)
                break
        if numbers := [time for time in times if isinstance(time, int | float)]:
            found[queue] = float(min(numbers))
    return found
