"""The whole bus as Prometheus sees it: what workers counted, queues, workers, the scheduler."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from routeq_mqtt.scheduler.observe.exposition import family, histogram, summary
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.sql import files as sql_files
from routeq_mqtt.scheduler.store.sql import observe as sql
from routeq_mqtt.wire.observe import asks
from routeq_mqtt.wire.observe.stats import OTHER
from routeq_mqtt.wire.observe.tally import OUTCOMES, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.presence.standbys import Standbys
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.observe.exposition import Labels
    from routeq_mqtt.scheduler.observe.numbers import Numbers
    from routeq_mqtt.scheduler.observe.statistics import Statistics
    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection
    from routeq_mqtt.wire.messages import requests
    from routeq_mqtt.wire.observe.stats import Pair

MOST_LABELS = 200
"""Values of one label, and pairs of queue and job; what comes later counts as "other"."""

_STATES = ("delayed", "parked", "waiting", "running", "held", "limited", "failed")


class HasMetrics(Protocol):
    """Knows its own metrics."""

    def lines(self) -> list[str]:
        """In Prometheus' format."""
        ...


class Metrics:
    """Writes the metrics when they are asked for; keeps nothing of its own.

    Args:
        context: what the roles share.
        statistics: what was counted.
        numbers: of the queues.
        standbys: the schedulers that wait to take over.
        more: have metrics of their own.
    """

    def __init__(
        self,
        context: Context,
        statistics: Statistics,
        numbers: Numbers,
        standbys: Standbys,
        *more: HasMetrics,
    ) -> None:
        self._context = context
        self._statistics = statistics
        self._numbers = numbers
        self._standbys = standbys
        self._more = more
        self.methods: requests.Methods = {asks.MetricsText: self._text}

    async def _text(self, asked: asks.MetricsText) -> object:
        return await self.text()

    async def text(self) -> str:
        """All metrics; those of the database are left out where it cannot be read."""
        lines = [*self._jobs(), *self._queues(), *self._workers(), *self._scheduler()]
        for one in self._more:
            lines += one.lines()
        with suppress(StoreUnavailable):  # routeq_scheduler_up says so
            lines += await self._database()
        return "\n".join(lines) + "\n"

    def _jobs(self) -> list[str]:
        tallies = list(bounded(self._statistics.totals).items())
        labelled = [({"queue": queue, "job": job}, tally) for (queue, job), tally in tallies]
        reasons: Counter[str] = Counter()
        for _, tally in tallies:
            reasons.update(tally.reasons)
        return [
            *family(
                "routeq_jobs_total", "counter", "Jobs by how an attempt of them ended.",
                ((labels | {"outcome": one}, tally.outcomes[one])
                 for labels, tally in labelled for one in OUTCOMES),
            ),
            *family(
                "routeq_attempts_total", "counter", "Attempts that ended.",
                ((labels, tally.attempts) for labels, tally in labelled),
            ),
            *family(
                "routeq_failures_total", "counter", "Jobs that failed for good, by reason.",
                (({"reason": reason}, number) for reason, number in _capped(reasons)),
            ),
            *histogram(
                "routeq_job_runtime_seconds", "Time from the first step of an attempt to its end.",
                ((labels, tally.run, tally.run_seconds) for labels, tally in labelled),
            ),
            *histogram(
                "routeq_job_wait_seconds",
                "Time from when a job was due to its first start; retries are left out.",
                ((labels, tally.wait, tally.wait_seconds) for labels, tally in labelled),
            ),
        ]  # fmt: skip

    def _queues(self) -> list[str]:
        queues = self._numbers.queues
        names = [({"queue": name}, queues[name]) for name in sorted(queues)[:MOST_LABELS]]
        now = self._context.clock.now()
        left: Counter[str] = Counter()
        for name in sorted(queues)[MOST_LABELS:]:
            left.update({state: getattr(queues[name], state) for state in _STATES})
        other: list[tuple[Labels, float]] = [
            ({"queue": OTHER, "state": state}, number) for state, number in left.items()
        ]
        jobs = [
            (labels | {"state": state}, getattr(queue, state))
            for labels, queue in names
            for state in _STATES
        ]
        return [
            *family("routeq_queue_jobs", "gauge", "Jobs of a queue by state.", [*jobs, *other]),
            *family(
                "routeq_queue_oldest_seconds", "gauge",
                "How long the oldest waiting job of a queue has been due; 0: none waits.",
                ((labels, 0.0 if one.oldest_at is None else max(0.0, now - one.oldest_at))
                 for labels, one in names),
            ),
            *family(
                "routeq_queue_workers", "gauge", "Workers of a queue that are online.",
                ((labels, one.workers) for labels, one in names),
            ),
            *family(
                "routeq_queue_slots", "gauge", "Jobs of a queue that can run at once.",
                ((labels, one.slots) for labels, one in names),
            ),
            *family(
                "routeq_queue_paused", "gauge", "1: a queue is paused.",
                ((labels, float(one.paused)) for labels, one in names),
            ),
        ]  # fmt: skip

    def _workers(self) -> list[str]:
        states = Counter(
            {"online": 0, "lost": 0}
            | Counter(
                member.status.state
                for member in self._context.fleet.members.values()
                if member.status is not None
            )
        )
        return family(
            "routeq_workers", "gauge", "Workers by state.",
            (({"state": state}, number) for state, number in sorted(states.items())),
        )  # fmt: skip

    def _scheduler(self) -> list[str]:
        context, database = self._context, self._context.store.database
        around = context.surroundings
        held = sum(around.waiting.values())
        return [
            *family(
                "routeq_scheduler_up", "gauge", "1: the scheduler runs and can commit.",
                [({}, float(not database.is_refused))],
            ),
            *family(
                "routeq_scheduler_standbys", "gauge", "Schedulers that wait to take over.",
                [({}, len(self._standbys.waiting()))],
            ),
            *summary(
                "routeq_scheduler_commit_seconds", "Time of the scheduler's commits.",
                database.commit_seconds, database.commits,
            ),
            *family(
                "routeq_broker_up", "gauge", "1: the scheduler is connected to the broker.",
                [({}, float(context.link.connection is not None))],
            ),
            *family(
                "routeq_broker_waiting_jobs", "gauge",
                "Jobs that wait in the embedded broker; others do not say.", [({}, held)],
            ),
        ]  # fmt: skip

    async def _database(self) -> list[str]:
        ticks, rows, size = await self._context.store.database.look(_read)
        return [
            *family(
                "routeq_scheduler_rows", "gauge", "Rows in the scheduler's database by state.",
                (({"state": state}, number) for state, number in rows),
            ),
            *family(
                "routeq_scheduler_database_bytes", "gauge", "Size of the scheduler's database.",
                [({}, size)],
            ),
            *family(
                "routeq_schedule_last_tick_timestamp_seconds", "gauge",
                "When a schedule ticked last.",
                (({"schedule": name}, at) for name, at in ticks),
            ),
        ]  # fmt: skip


def _read(
    db: SyncConnection,
) -> tuple[list[tuple[str, float]], list[tuple[str, int]], float]:
    ticks = db.execute(sql.LAST_TICKS, (MOST_LABELS,)).fetchall()
    rows = db.execute(sql.ROWS_BY_STATE).fetchall()
    [size] = db.execute(sql_files.SIZE)
    return ticks, rows, float(size[0])


def bounded(totals: dict[Pair, Tally]) -> dict[Pair, Tally]:
    """The first 200 pairs of queue and job as they are, all others as one."""
    found: dict[Pair, Tally] = {}
    for pair, tally in totals.items():
        if len(found) < MOST_LABELS:
            found[pair] = tally
        else:
            found.setdefault((OTHER, OTHER), Tally()).add(tally)
    return found


def _capped(counts: Counter[str]) -> Iterable[tuple[str, int]]:
    most: Sequence[tuple[str, int]] = counts.most_common()
    yield from most[:MOST_LABELS]
    if len(most) > MOST_LABELS:
        yield OTHER, sum(number for _, number in most[MOST_LABELS:])
