"""Runs dispatched jobs at once, in the process and the event loop of the test."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from routeq_mqtt.testing.fake_scheduler import FakeScheduler
from routeq_mqtt.testing.run_queue import MOST_RUNS, RunQueue, endless, running
from routeq_mqtt.testing.travel import TravelClock
from routeq_mqtt.transport.base import Message
from routeq_mqtt.worker.delivery import Delivery
from routeq_mqtt.worker.execute.executor import Executor, Limits, Reporter
from routeq_mqtt.worker.execute.outcome import Again, Done, Failed, event_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.bus.features.events import Events
    from routeq_mqtt.testing.fake_scheduler import How
    from routeq_mqtt.transport.base import Connection
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.wire.envelopes.record import FailedRecord


class Inline:
    """Runs jobs by the rules of a worker; keeps the delayed ones until time travel reaches them.

    A job that another one dispatches runs when that one is over, as it would on one worker.

    Args:
        clock: of the bus.
        events: hear what happens to jobs.

    Attributes:
        decisions: what is decided on unique jobs, chains and batches.
        failed: records of the jobs that failed for good, in order.
        ended: what is known of the jobs that have ended, by id: as a scheduler would tell it.
    """

    def __init__(self, clock: TravelClock, events: Events) -> None:
        self._clock = clock
        self._events = events
        self._delayed: list[tuple[float, int, Envelope]] = []
        self._numbers = count()
        self.decisions: FakeScheduler = FakeScheduler(self._replace)
        self.failed: list[FailedRecord] = []
        self.ended: dict[str, dict[str, Any]] = {}

    async def admit(
        self, envelopes: Sequence[Envelope], part: dict[str, Any] | None = None
    ) -> list[str]:
        """Take jobs in as a scheduler does, and run what may run; the ids to answer with."""
        answers, free, cancelled = self.decisions.admit(envelopes, part, self._clock.now())
        self._are_cancelled(cancelled)
        await self.take(free)
        return answers

    async def take(self, envelopes: Sequence[Envelope]) -> None:
        """Run those that are due; returns when they are over. Keep the others."""
        due = []
        for envelope in envelopes:
            at = due_at(envelope, self._clock.now())
            if at is None or at <= self._clock.now():
                due.append(envelope)
            else:
                self._keep(envelope, at)
        outer = running.get()
        if due and (outer is None or not outer.add(due)):
            await self._run_all(RunQueue(due))

    async def travel(self, target: float) -> None:
        """Run what is due until `target` (UTC epoch seconds), in order, each at its time."""
        before = now = self._clock.now()
        try:
            while self._delayed and self._delayed[0][0] <= target:
                at, _, envelope = heapq.heappop(self._delayed)
                now = max(now, at)
                # Still while a job runs, or what it dispatches would be due after the end.
                self._clock.stop_at(now)
                await self._run_all(RunQueue([envelope]))
        finally:
            self._clock.stop_at(None)
            self._clock.forward(target - before)

    def delayed(self, queue: str | None = None) -> list[Envelope]:
        """Jobs that wait for their time, the next one first."""
        waiting = [envelope for _, _, envelope in sorted(self._delayed, key=lambda row: row[:2])]
        return [envelope for envelope in waiting if queue in {None, envelope.queue}]

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job that waits; whether it did."""
        envelope = self._drop(job_id) or self.decisions.drop(job_id)
        if envelope is not None:
            await self._cancelled([envelope])
        return envelope is not None

    async def cancel_batch(self, batch_id: str) -> None:
        """Cancel all of a batch that waits, and what is added to it later."""
        gone = self.decisions.call_off(batch_id)
        late = [one for one in self.delayed() if one.options.get("batch") == batch_id]
        await self._cancelled([*gone, *filter(None, [self._drop(str(one.id)) for one in late])])

    async def _cancelled(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            self._are_cancelled([str(envelope.id)])
            await self._follow(envelope, "cancelled")

    def _are_cancelled(self, ids: Iterable[str]) -> None:
        self.ended.update((job_id, {"state": "cancelled"}) for job_id in ids)

    async def _follow(self, envelope: Envelope, how: How) -> None:
        """Run what waited for the end of a job."""
        free, cancelled = self.decisions.ended(envelope, how, self._clock.now())
        self._are_cancelled(cancelled)
        await self.take(free)

    def _drop(self, job_id: str) -> Envelope | None:
        found = [row[2] for row in self._delayed if row[2].id == job_id]
        self._delayed = [row for row in self._delayed if row[2].id != job_id]
        heapq.heapify(self._delayed)
        return found[0] if found else None

    def _replace(self, job_id: str, newcomer: Envelope) -> bool:
        """Put another content into a job that waits for its first run, and let it wait anew."""
        waiting = [one for one in self.delayed() if one.id == job_id]
        if not waiting or waiting[0].attempt > 1:
            return False
        self._drop(job_id)
        at = due_at(newcomer, self._clock.now())
        self._keep(newcomer.evolve(id=job_id), self._clock.now() if at is None else at)
        return True

    def _keep(self, envelope: Envelope, at: float) -> None:
        heapq.heappush(self._delayed, (at, next(self._numbers), envelope))

    async def _run_all(self, todo: RunQueue) -> None:
        token = running.set(todo)
        try:
            while (envelope := todo.next()) is not None:
                await self._run(envelope)
        finally:
            running.reset(token)
            todo.close()

    async def _run(self, envelope: Envelope) -> None:
        """All attempts of a job, up to its end or to where it has itself released for later."""
        clock = TravelClock(self._clock)  # what it waits between attempts passes for it alone
        executor = Executor("fake", clock, Limits(), threads=1, reporter=_no_reporter)
        options = {**envelope.options, "admitted": True}
        envelope = envelope.evolve(delay=None, run_at=None, options=options)
        try:
            for _ in range(MOST_RUNS):
                self._tell(envelope, "started")
                self.decisions.started(envelope)
                outcome = await executor.execute(_held(envelope))
                event, more = event_of(outcome) or ("failed", {})
                self._tell(envelope, event, **more)
                if not isinstance(outcome, Again):
                    break
                if outcome.delay > 0 and outcome.envelope.attempt == envelope.attempt:
                    self._keep(outcome.envelope, self._clock.now() + outcome.delay)
                    return
                clock.forward(outcome.delay)
                envelope = outcome.envelope
            else:
                raise endless(envelope.job)
        finally:
            executor.close()
        await self._end(str(envelope.id), outcome)
        await self._follow(envelope, "done" if isinstance(outcome, Done) else "failed")

    def _tell(self, envelope: Envelope, event: str, **more: object) -> None:
        queue, job_id = str(envelope.queue), str(envelope.id)
        self._events.tell(queue, event, job_id, envelope.job, attempt=envelope.attempt, **more)

    async def _end(self, job_id: str, outcome: object) -> None:
        if isinstance(outcome, Failed):
            record = outcome.record
            self.failed.append(record)
            self.ended[job_id] = {
                "state": "failed",
                "reason": record.reason,
                "error": record.error,
            }
            if outcome.hook is not None:
                await outcome.hook()
        elif isinstance(outcome, Done):
            value = {} if outcome.result is None else {"value": outcome.result.value}
            self.ended[job_id] = {"state": "done", **value}


class _Nobody:
    """Holds a job that no broker waits for."""

    def settle(self, held: Delivery) -> None:
        """There is nothing to acknowledge."""

    def owns(self, held: Delivery) -> bool:  # noqa: ARG002, RUF100 - the protocol's
        """Always: no other process can have it."""
        return True

    async def until_owned(self, held: Delivery) -> None:
        """It is."""


def due_at(envelope: Envelope, now: float) -> float | None:
    """When a job is due, UTC epoch seconds; None: at once."""
    delay = envelope.delay
    if "debounce_for" in envelope.options and not envelope.options.get("admitted"):
        delay = envelope.options["debounce_for"]
    return envelope.run_at if delay is None else now + delay


def _held(envelope: Envelope) -> Delivery:
    message = Message(str(envelope.queue), envelope.encode())
    nowhere = cast("Connection", None)  # an executor does not look at it
    return Delivery(_Nobody(), message.topic, nowhere, message, envelope, None, str(envelope.id))


def _no_reporter(held: Delivery) -> Reporter:  # noqa: ARG001, RUF100 - as an executor calls it
    def report(done: float, total: float | None, note: str) -> None:
        """There is no subscriber."""

    return report
