"""Counts what happens to a worker's jobs, and publishes it, retained and cumulative.

The scheduler adds up what all workers say. What is here costs every job: about a microsecond.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import TYPE_CHECKING

from routeq_mqtt.wire.observe.histogram import BOUNDS, BUCKETS
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

_SHORT = BOUNDS[0]


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
        self._pair: Pair | None = None
        self._last = Tally()
        self._tallies: dict[Pair, Tally] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._muted = False
        self._said_running = False

    def begins(self, held: Delivery) -> None:
        """A job is about to take its first step."""
        held.began = self._monotonic()
        if self._timer is None:
            self._soon()

    def ends(self, held: Delivery, event: str, outcome: Outcome) -> None:
        """A job has ended, with an event's name."""
        envelope = held.envelope
        pair = (held.queue, "?" if envelope is None else envelope.job)
        tally = self._last if pair == self._pair else self._tally_of(pair)
        tally.outcomes[event] += 1
        began, held.began = held.began, 0.0
        if type(outcome) is Failed:
            tally.reasons[outcome.record.reason] += 1
            if outcome.hook is None or outcome.hook_last:
                began = 0.0  # it was not run
        if not began:
            self._soon()
            return
        seconds = self._monotonic() - began
        tally.attempts += 1
        tally.run[bisect_left(BOUNDS, seconds) if seconds > _SHORT else 0] += 1
        tally.run_seconds += seconds
        if envelope is not None and envelope.attempt == envelope.deliveries == 1:
            due = _due(envelope) if envelope.options else envelope.dispatched_at
            if due is not None:
                waited = self._wall() - seconds - due
                tally.wait[bisect_left(BOUNDS, waited) if waited > _SHORT else 0] += 1
                if waited > 0.0:  # the clocks of two machines differ
                    tally.wait_seconds += waited

    def _tally_of(self, pair: Pair) -> Tally:
        """Of a pair; of too many, of its queue's "other"."""
        tally = self._tallies.get(pair)
        if tally is None:
            if len(self._tallies) >= MOST_PAIRS:
                pair = (pair[0], OTHER)
            tally = self._tallies.setdefault(pair, Tally(run=[0] * BUCKETS, wait=[0] * BUCKETS))
        self._pair, self._last = pair, tally
        return tally

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
        since = self._running_since()
        self._said_running = bool(since)
        stats = WorkerStats(tallies=self._tallies, since=since)
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
        if self._tallies:
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
