"""Brings each outcome to its next place, then acknowledges the message: never the other way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import NoConsumer, NoScheduler, PublishRefused
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.presence.status import WIRE
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.wire.messages.outcomes import encode_outcomes
from routeq_mqtt.worker.consume.refused import ever_smaller, refused_record
from routeq_mqtt.worker.execute.outcome import Again, Done, Failed, Outcome, Unadmitted

if TYPE_CHECKING:
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.wire.envelopes.record import FailedRecord
    from routeq_mqtt.wire.envelopes.result import JobResult
    from routeq_mqtt.wire.messages.outcomes import Word
    from routeq_mqtt.worker.consume.pool import Pool
    from routeq_mqtt.worker.delivery import Delivery

log: logging.Logger = logging.getLogger(__name__)

_TRY_AGAIN = 5.0
"""Seconds until a failed hand-over is tried again, unless a scheduler comes earlier."""

_DONE_MOST = 500


class Settler:
    """The table of next places.

    | outcome | next place | then |
    |---|---|---|
    | done, from the broker | the job ran: there is none | PUBACK |
    | done, from a row | `routeq/done` | PUBACK |
    | done, with a result to keep | `routeq/result` | PUBACK |
    | again, from a row or with a delay | `routeq/retry` | PUBACK |
    | again, at once | the queue's workers, or `routeq/retry` | PUBACK |
    | again, no scheduler on this bus | it waits here, unacknowledged | it runs, or is given up |
    | cancelled | `routeq/done` | PUBACK |
    | to be admitted | `routeq/retry` | PUBACK |
    | failed | `routeq/failed` | ``failed()``, PUBACK |
    | refused by the broker: too large, not allowed | `routeq/failed`, cut until it fits | PUBACK |
    | refused there, too | none: it stays with the broker | |
    """

    def __init__(self, sender: Sender, pool: Pool, clock: Clock, worker: str) -> None:
        self._sender = sender
        self._clock = clock
        self._worker = worker
        self._pool = pool
        self._tasks = Tasks()
        self._done: list[tuple[str, int, Delivery]] = []
        self._flushing = self._reporting = False
        self._leaving = Notifier()

    def settle(self, held: Delivery, outcome: Outcome) -> None:
        """Take an outcome; returns at once."""
        if isinstance(outcome, Done) and outcome.result is None:
            self._settle_done(held)
            return
        self._tasks.start(self._hand_over(held, outcome), f"settle-{held.job_id}")

    async def _hand_over(self, held: Delivery, outcome: Outcome) -> None:
        try:
            await self._to_next_place(held, outcome)
        except PublishRefused as error:
            await self._record_refusal(held, outcome, error)

    async def _to_next_place(self, held: Delivery, outcome: Outcome) -> None:
        if isinstance(outcome, Done) and outcome.result is not None:
            await self._hand_over_result(held, outcome.result)
        elif isinstance(outcome, Again):
            await self._hand_over_again(held, outcome)
        elif isinstance(outcome, Unadmitted):
            await self._hand_over_unadmitted(held, outcome)
        elif isinstance(outcome, Failed):
            await self._hand_over_failed(held, outcome)
        else:
            await self._report_cancelled(held)

    async def _record_refusal(
        self, held: Delivery, outcome: Outcome, error: PublishRefused
    ) -> None:
        """No place takes the outcome: it becomes a failed record, which is smaller."""
        log.error("the outcome of this job was refused id=%s error=%s", held.job_id, error)
        held.done = False
        if not isinstance(outcome, Failed):
            record = refused_record(held, outcome, error, self._worker, self._clock.now())
            try:
                await self._hand_over_failed(held, Failed(record))
            except PublishRefused as again:
                error = again
            else:
                return
        log.error(
            "no record is taken either, the job stays with the broker and runs again once this "
            "worker stops id=%s queue=%s error=%s",
            held.job_id,
            held.queue,
            error,
        )

    async def finish(self, timeout: float) -> None:
        """Wait until every outcome is safe, `timeout` seconds at most; the rest is adopted."""
        self._leaving.notify()
        self._flush_done()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout)
        self._tasks.cancel()

    # -- done ----------------------------------------------------------------------------------

    def _settle_done(self, held: Delivery) -> None:
        held.done = True
        envelope = held.envelope
        if envelope is None or not envelope.stored:
            held.holder.settle(held)
            return
        self._done.append((held.job_id, envelope.attempt, held))
        if not (self._flushing or self._reporting):
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush_done)

    def _flush_done(self) -> None:
        """Report what was done; what is done meanwhile goes with the next report, all at once."""
        self._flushing = False
        if self._done and not self._reporting:
            self._reporting = True
            self._tasks.start(self._report_all(), f"report-{self._done[0][0]}")

    async def _report_all(self) -> None:
        try:
            while self._done:
                part = self._done[:_DONE_MOST]
                del self._done[:_DONE_MOST]
                await self._report(part)
        finally:
            self._reporting = False

    async def _report(self, done: list[tuple[str, int, Delivery]]) -> None:
        payload = encode_outcomes((job_id, attempt, held.row) for job_id, attempt, held in done)
        try:
            await self._until_taken(self._sender.topics.done, payload)
        except NoScheduler:
            # Its session is gone, and so is every row: there is nobody left to tell.
            log.warning("outcomes of %d jobs from rows found no scheduler", len(done))
        except PublishRefused as error:
            # The next census asks for what was done here.
            log.error("outcomes of %d jobs are refused error=%s", len(done), error)
        for _, _, held in done:
            held.holder.settle(held)

    async def _hand_over_result(self, held: Delivery, result: JobResult) -> None:
        held.done = True
        payload = result.encode()
        try:
            await self._until_taken(self._sender.topics.result, payload)
        except NoScheduler:
            log.warning("the result is dropped: no scheduler is running id=%s", held.job_id)
        held.holder.settle(held)

    async def _report_cancelled(self, held: Delivery) -> None:
        """Also without a row: the order to cancel it has done its work."""
        held.done = True
        await self._tell(held, "cancelled")
        held.holder.settle(held)

    async def tell_started(self, held: Delivery) -> None:
        """It begins to run: returns when the scheduler's session has the news."""
        await self._tell(held, "started")

    async def _tell(self, held: Delivery, outcome: Word) -> None:
        attempt = held.envelope.attempt if held.envelope is not None else 1
        payload = encode_outcomes([(held.job_id, attempt, held.row)], outcome)
        try:
            await self._until_taken(self._sender.topics.done, payload)
        except (NoScheduler, PublishRefused) as error:
            log.warning("the scheduler does not learn that a job is %s: %s", outcome, error)

    # -- again and failed ----------------------------------------------------------------------

    async def _hand_over_again(self, held: Delivery, outcome: Again) -> None:
        try:
            await self._pass_on(held, outcome)
        except (NoScheduler, NoConsumer):
            await self._wait_here(held, outcome)
        else:
            held.holder.settle(held)

    async def _pass_on(self, held: Delivery, outcome: Again) -> None:
        try:
            await self._send_again(held, outcome.envelope, outcome.delay)
        except PublishRefused:
            if not outcome.envelope.errors:
                raise
            # The errors of its attempts may be what made it too large.
            await self._send_again(held, outcome.envelope.evolve(errors=[]), outcome.delay)

    async def _send_again(self, held: Delivery, envelope: Envelope, delay: float) -> None:
        sender = self._sender
        if envelope.stored or delay > 0:
            payload = envelope.evolve(delay=delay, run_at=None).encode()
            await self._until_taken(self._back, payload)
        else:
            payload = envelope.encode()
            await sender.hand_over.until_taken(
                lambda: sender.send_back(held.queue, payload, self._back), len(payload), "a retry"
            )

    @property
    def _back(self) -> str:
        """Where jobs go back to the scheduler; one of an earlier version reads no other topic."""
        scheduler, topics = self._sender.surroundings.scheduler, self._sender.topics
        earlier = scheduler is not None and scheduler.wire < WIRE
        return topics.schedule if earlier else topics.retry

    async def _wait_here(self, held: Delivery, outcome: Again) -> None:
        """Without a scheduler the retry waits in this worker, its message unacknowledged."""
        if not await self._leaving.wait(outcome.delay, since=0):
            if not held.dropped:
                held.envelope = outcome.envelope
                held.started = held.ended = False
                self._pool.add(held)
            return
        # It would not run here any more. Perhaps a scheduler is just starting.
        await self._sender.surroundings.scheduler_changed.wait(_TRY_AGAIN)
        if not held.dropped:
            with contextlib.suppress(NoScheduler, NoConsumer):
                await self._pass_on(held, outcome)
                held.holder.settle(held)

    async def _hand_over_unadmitted(self, held: Delivery, outcome: Unadmitted) -> None:
        await self._until_kept(self._back, outcome.envelope.encode(), held)
        held.holder.settle(held)

    async def _hand_over_failed(self, held: Delivery, outcome: Failed) -> None:
        await self._keep(outcome.record, held)
        if outcome.hook is not None and not outcome.hook_last:
            await outcome.hook()
        held.holder.settle(held)
        if outcome.hook is not None and outcome.hook_last:
            await outcome.hook()

    async def _keep(self, record: FailedRecord, held: Delivery) -> None:
        """The whole record, or as much of it as the broker takes."""
        refusal: PublishRefused | None = None
        for smaller in ever_smaller(record):
            try:
                return await self._until_kept(self._sender.topics.failed, smaller.encode(), held)
            except PublishRefused as error:
                refusal = error
        assert refusal is not None  # noqa: S101 - there is one record at least
        raise refusal

    async def _until_kept(self, topic: str, payload: bytes, held: Delivery) -> None:
        """Hand over what only a scheduler can keep, however long it takes until there is one."""
        around, times = self._sender.surroundings, 0
        while True:
            try:
                return await self._until_taken(topic, payload)
            except NoScheduler as error:
                times += 1
                level = logging.ERROR if times in {1, 10, 100} else logging.DEBUG
                log.log(level, "waits for a scheduler id=%s error=%s", held.job_id, error)
                await around.scheduler_changed.wait(_TRY_AGAIN)

    async def _until_taken(self, topic: str, payload: bytes) -> None:
        """To the scheduler, over lost connections."""
        sender = self._sender
        await sender.hand_over.until_taken(
            lambda: sender.to_scheduler(topic, payload), len(payload), f"a message to {topic!r}"
        )
