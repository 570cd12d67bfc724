"""Folds what workers have counted into a table: one commit a minute, nothing lost or counted twice.

Workers retain cumulative numbers, and a worker's id is new for each start. What has been counted of
each of them is committed in the transaction that counts it: see `store.observe.stats_table`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.scheduler.observe.series import series_of
from routeq_mqtt.scheduler.store.observe import stats_table
from routeq_mqtt.scheduler.store.observe.stats_table import Fold, bounded_pair
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.observe import asks
from routeq_mqtt.wire.observe.answers import StatHistory
from routeq_mqtt.wire.observe.histogram import BOUNDS
from routeq_mqtt.wire.observe.stats import WorkerStats
from routeq_mqtt.wire.observe.tally import Tally

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.wire.messages import requests
    from routeq_mqtt.wire.observe.stats import Pair

log: logging.Logger = logging.getLogger(__name__)

_EVERY = 60.0
_MOST_WORKERS = 10_000
_DEFAULT_SPAN = 3_600.0
_GONE = frozenset({"stopped", "adopted"})


class Statistics:
    """What happened to jobs on this bus, by queue and job class.

    Args:
        context: what the roles share.

    Attributes:
        totals: all that was ever counted, with what the next commit brings.
        done, failed: of each queue, as in the totals.
        active: for each queue, when an outcome was counted last, UTC epoch seconds.
        since: for each worker, when the longest running job of each queue was started.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._complaints = Complaints(log)
        self._pending: dict[Pair, Tally] = {}
        self._counted: dict[str, WorkerStats] = {}
        self._changed: set[str] = set()
        self._retained: set[str] = set()
        self.totals: dict[Pair, Tally] = {}
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.active: dict[str, float] = {}
        self.since: dict[str, dict[str, float]] = {}
        self.methods: requests.Methods = {asks.StatsHistory: self._history}

    async def load(self) -> None:
        """Read what an earlier scheduler has counted.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        database = self._context.store.database
        for pair, tally in (await database.look(stats_table.totals)).items():
            self._add_total(pair, tally)
        self._counted = await database.look(stats_table.counted_workers)

    def heard(self, worker: str, topic: str, payload: bytes) -> None:
        """A worker's numbers came; those that cannot be read change nothing."""
        if not payload:
            self._retained.discard(worker)
            self.since.pop(worker, None)
            return
        try:
            stats = WorkerStats.decode(payload)
        except UnreadableMessage as error:
            self._complaints.note(topic, error)
            return
        if worker not in self._counted and len(self._counted) >= _MOST_WORKERS:
            return
        self._retained.add(worker)
        self.since[worker] = stats.since
        before = self._counted.get(worker)
        for pair, tally in stats.tallies.items():
            known = before.tallies.get(pair) if before is not None else None
            self._count(pair, tally if known is None else tally.since(known))
        self._counted[worker] = stats
        self._changed.add(worker)

    def _count(self, pair: Pair, tally: Tally) -> None:
        if tally:
            pair = bounded_pair(pair, self.totals)
            self._add_total(pair, tally)
            self._pending.setdefault(pair, Tally()).add(tally)
            self.active[pair[0]] = self._context.clock.now()

    def _add_total(self, pair: Pair, tally: Tally) -> None:
        self.totals.setdefault(pair, Tally()).add(tally)
        self.done[pair[0]] += tally.outcomes["done"]
        self.failed[pair[0]] += tally.outcomes["failed"]

    # -- to the table --------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit once a minute; what comes after the last commit, the next scheduler finds."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.fold()
            except StoreUnavailable as error:
                log.warning("cannot keep statistics: %s; trying again in a minute", error)

    async def fold(self) -> None:
        """Commit what was counted; then clear the numbers of workers that are gone.

        Raises:
            StoreUnavailable: nothing was committed; the next fold brings it.
        """
        pending, self._pending = self._pending, {}
        changed, self._changed = self._changed, set()
        what = Fold(
            at=self._context.clock.now(),
            counted=pending,
            workers={one: self._counted[one].encode() for one in changed if one in self._counted},
        )
        try:
            here = await self._context.store.database.work(lambda db: stats_table.fold(db, what))
        except BaseException:
            self._changed |= changed
            for pair, tally in pending.items():
                self._pending.setdefault(pair, Tally()).add(tally)
            raise
        self._context.hook("folded")
        for pair, tally in here.items():
            self._add_total(pair, tally)
        self._clear()

    def _clear(self) -> None:
        """Of workers that are gone for good; a worker that only seems so publishes again."""
        connection = self._context.link.connection
        if connection is None:
            return
        for worker in [*self._retained]:
            standing = self._context.fleet.standing(worker)
            if worker not in self._changed and (standing is None or standing[0] in _GONE):
                self.since.pop(worker, None)
                connection.publish(self._context.topics.stats(worker), b"", retain=True)
        if len(self._counted) > _MOST_WORKERS // 2:
            kept = {*self._retained, *self._context.fleet.members, *self._changed}
            self._counted = {one: said for one, said in self._counted.items() if one in kept}

    # -- questions -----------------------------------------------------------------------------

    async def _history(self, asked: asks.StatsHistory) -> object:
        now = self._context.clock.now()
        until = now if asked.until is None else asked.until
        since = until - _DEFAULT_SPAN if asked.since is None else asked.since
        step = stats_table.step_for(until - since, now - since)
        points = await self._context.store.database.look(
            lambda db: stats_table.history(db, step, since, until)
        )
        begins = int(now // step) * step
        if since <= now <= until + step:
            points += [(begins, pair, tally) for pair, tally in self._pending.items()]
        history = StatHistory(
            step=step,
            since=since,
            until=until,
            bounds=list(BOUNDS),
            series=series_of(points, queue=asked.queue, job=asked.job, by=asked.by),
        )
        return asdict(history)
