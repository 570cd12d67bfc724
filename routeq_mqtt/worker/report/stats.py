"""Counts what happens to a worker's jobs, and publishes it, retained and cumulative.

The scheduler adds up what all workers say. What is here costs every job. So the times of plain jobs
that are done are only written down, and counted many at once: sorted, they need no search each.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from routeq_mqtt.wire.observe.histogram import BUCKETS, bucket_of, count_in
from routeq_mqtt.wire.observe.stats import MOST_PAIRS, OTHER, Pair, WorkerStats
from routeq_mqtt.wire.observe.tally import Tally
from routeq_mqtt.worker.execute.outcome import Failed

if TYPE_CHECKING:
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.worker.consume.pool import Pool
    from routeq_mqtt.worker.delivery import Delivery
    from routeq_mqtt.worker.execute.outcome import Outcome

_EVERY = 5.0
"""Seconds: what a worker that dies has counted since its last report is lost."""

_COUNT_EVERY = 0.1
"""Seconds of plain jobs that are counted at once, and for which the wall clock is read once."""


@dataclass(slots=True)
class _Series:
    """One (queue, job): what is counted, and seconds of plain jobs that are not yet."""

    tally: Tally = field(default_factory=lambda: Tally(run=[0] * BUCKETS, wait=[0] * BUCKETS))
    runs: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def count(self) -> None:
        """Count what was only written down."""
        tally, runs, waits = self.tally, self.runs, self.waits
        if not runs:
            return
        runs.sort()
        waits.sort()
        tally.outcomes["done"] += len(runs)
        tally.attempts += len(runs)
        tally.run_seconds += sum(runs)
        # The clocks of two machines differ: a wait may be negative, and adds nothing.
        tally.wait_seconds += sum(waits[bisect_right(waits, 0.0) :])
        count_in(tally.run, runs)
        count_in(tally.wait, waits)
        runs.clear()
        waits.clear()


class RunStats:
    """Statistics of one run of a worker; its id is new, and its numbers begin at 0.

    Args:
        worker_id: whose they are.
        sender: the connection; while it is away, nothing is said.
        clock: how long jobs run.
        pool: what runs.
    """

    def __init__(self, worker_id: str, sender: Sender, clock: Clock, pool: Pool) -> None:
        self._topic = sender.topics.stats(worker_id)
        self._sender = sender
        self._wall, self._monotonic = clock.now, clock.monotonic
        self._pool = pool
        self._series: dict[Pair, _Series] = {}
        self._queue = self._job = ""
        self._last = _Series()
        """Of this queue and job: most jobs are like the one before."""
        self._count_at = -inf
        self._wall_less_monotonic = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._muted = False
        self._said_running = False

    def begins(self, held: Delivery) -> None:
        """A job is about to take its first step."""
        held.began = self._monotonic()

    def goes_on(self) -> None:
        """A job runs on after its first step: it may be long, and how long is said."""
        self._soon()

    def done(self, held: Delivery, envelope: Envelope) -> None:
        """A plain job (see `QuickLane`) is done, in its first step."""
        now = self._monotonic()
        if now > self._count_at:
            self._count(now)
        series = self._last
        if envelope.job != self._job or held.queue != self._queue:
            series = self._series_of(held.queue, envelope.job)
        began, held.began = held.began, 0.0
        series.runs.append(now - began)
        due = envelope.dispatched_at
        if due is not None:
            series.waits.append(began + self._wall_less_monotonic - due)

    def _count(self, now: float) -> None:
        """Count what was written down; what comes now is published soon."""
        for series in self._series.values():
            series.count()
        self._count_at = now + _COUNT_EVERY
        self._wall_less_monotonic = self._wall() - now
        self._soon()

    def ends(self, held: Delivery, event: str, outcome: Outcome) -> None:
        """Any job has ended, with an event's name."""
        envelope = held.envelope
        tally = self._series_of(held.queue, "?" if envelope is None else envelope.job).tally
        tally.outcomes[event] += 1
        began, held.began = held.began, 0.0
        if type(outcome) is Failed:
            tally.reasons[outcome.record.reason] += 1
            if outcome.hook is None or outcome.hook_last:
                began = 0.0  # it was not run
        self._soon()
        if not began:
            return
        seconds = self._monotonic() - began
        tally.attempts += 1
        tally.run[bucket_of(seconds)] += 1
        tally.run_seconds += seconds
        if envelope is not None and envelope.attempt == envelope.deliveries == 1:
            due = _due(envelope) if envelope.options else envelope.dispatched_at
            if due is not None:
                waited = self._wall() - seconds - due
                tally.wait[bucket_of(waited)] += 1
                if waited > 0.0:  # the clocks of two machines differ
                    tally.wait_seconds += waited

    def _series_of(self, queue: str, job: str) -> _Series:
        """Of a queue and a job; of too many, of the queue's "other"."""
        series = self._series.get((queue, job))
        if series is None:
            name = OTHER if len(self._series) >= MOST_PAIRS else job
            series = self._series.setdefault((queue, name), _Series())
        self._queue, self._job, self._last = queue, job, series
        return series

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._report)

    def _report(self) -> None:
        self._timer = None
        if not self.publish() or self._said_running:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._report)

    def publish(self) -> bool:
        """Publish now, if there is a connection; whether there was."""
        connection = self._sender.link.connection
        if connection is None or self._muted:
            return False
        tallies: dict[Pair, Tally] = {}
        for pair, series in self._series.items():
            series.count()
            tallies[pair] = series.tally
        self._count_at = -inf  # the next job is news
        since = self._running_since()
        self._said_running = bool(since)
        stats = WorkerStats(tallies=tallies, since=since)
        connection.publish(self._topic, stats.encode(), retain=True)
        return True

    def _running_since(self) -> dict[str, float]:
        """For each queue, when the job that has run longest was started."""
        monotonic, now = self._monotonic(), self._wall()
        since: dict[str, float] = {}
        for held in self._pool.running:
            if held.began:
                started = round(now - (monotonic - held.began), 3)
                since[held.queue] = min(since.get(held.queue, started), started)
        return since

    def leave(self) -> None:
        """Say the last numbers; the scheduler clears them when it has counted them."""
        self.stop()
        if self._series:
            self.publish()

    def stop(self) -> None:
        """Say nothing from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def mute(self) -> None:
        """The worker was fenced: its numbers are counted as they are."""
        self._muted = True


def _due(envelope: Envelope) -> float | None:
    """When a job with options was due; None: not known, or it waited for other jobs."""
    options = envelope.options
    if options.get("step") or "batch" in options:
        return None
    return options.get("due", envelope.dispatched_at)
