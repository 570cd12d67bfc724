"""Brings each outcome to its next place, then acknowledges the message: never the other way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost, NobodyHoldsJobs, NoScheduler, PublishRefused
from routeq_mqtt.signal import Signal
from routeq_mqtt.wire.packing import pack
from routeq_mqtt.worker.outcome import Again, Cancelled, Done, Failed, Outcome, Unadmitted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.bus.sender import Sender
    from routeq_mqtt.wire.result import JobResult
    from routeq_mqtt.worker.held import Held
    from routeq_mqtt.worker.pool import Pool

log = logging.getLogger(__name__)

_TRY_AGAIN = 5.0
"""Seconds until a hand-over that nobody took is tried again, unless a scheduler comes earlier."""

_DONE_MOST = 500


class Settler:
    """The table of next places.

    | outcome | next place | then |
    |---|---|---|
    | done, from the broker | the job ran: there is none | PUBACK |
    | done, from a row | `routeq/done` | PUBACK |
    | done, with a result to keep | `routeq/result` | PUBACK |
    | again, from a row or with a delay | `routeq/schedule` | PUBACK |
    | again, at once | the queue | PUBACK |
    | again, no scheduler on this bus | it waits here, unacknowledged | it runs, or is given up |
    | cancelled | `routeq/done` | PUBACK |
    | to be admitted | `routeq/schedule` | PUBACK |
    | failed | `routeq/failed` | ``failed()``, PUBACK |
    """

    def __init__(self, sender: Sender, pool: Pool) -> None:
        self._sender = sender
        self._pool = pool
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: list[tuple[str, int, Held]] = []
        self._flushing = False
        self._leaving = Signal()

    def settle(self, held: Held, outcome: Outcome) -> None:
        """Take an outcome; returns at once."""
        if isinstance(outcome, Done):
            if outcome.result is None:
                self._settle_done(held)
            else:
                self._spawn(self._hand_over_result(held, outcome.result), held)
        elif isinstance(outcome, Again):
            self._spawn(self._hand_over_again(held, outcome), held)
        elif isinstance(outcome, Cancelled):
            self._spawn(self._report_cancelled(held), held)
        elif isinstance(outcome, Unadmitted):
            self._spawn(self._hand_over_unadmitted(held, outcome), held)
        else:
            self._spawn(self._hand_over_failed(held, outcome), held)

    async def finish(self, timeout: float) -> None:
        """Wait until every outcome is safe, `timeout` seconds at most; the rest is adopted."""
        self._leaving.fire()
        self._flush_done()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        for task in self._tasks:
            task.cancel()

    def _spawn(self, work: Awaitable[None], held: Held) -> None:
        async def run() -> None:
            await work

        task = asyncio.create_task(run(), name=f"settle-{held.job_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- done ----------------------------------------------------------------------------------

    def _settle_done(self, held: Held) -> None:
        held.done = True
        envelope = held.envelope
        if envelope is None or not envelope.stored:
            held.holder.settle(held)
            return
        self._done.append((held.job_id, envelope.attempt, held))
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush_done)

    def _flush_done(self) -> None:
        self._flushing = False
        done, self._done = self._done, []
        for at in range(0, len(done), _DONE_MOST):
            part = done[at : at + _DONE_MOST]
            self._spawn(self._report(part), part[0][2])

    async def _report(self, done: list[tuple[str, int, Held]]) -> None:
        payload = pack([[job_id, attempt] for job_id, attempt, _ in done])
        try:
            await self._until_taken(
                lambda: self._sender.to_scheduler(self._sender.topics.done, payload), done[0][2]
            )
        except NoScheduler:
            # Its session is gone, and so is every row: there is nobody left to tell.
            log.warning("outcomes of %d jobs from rows found no scheduler", len(done))
        for _, _, held in done:
            held.holder.settle(held)

    async def _hand_over_result(self, held: Held, result: JobResult) -> None:
        held.done = True
        payload = result.encode()
        try:
            await self._until_taken(
                lambda: self._sender.to_scheduler(self._sender.topics.result, payload), held
            )
        except NoScheduler:
            log.warning("nobody keeps the result, there is no scheduler id=%s", held.job_id)
        held.holder.settle(held)

    async def _report_cancelled(self, held: Held) -> None:
        """Also without a row: the order to cancel it has done its work."""
        held.done = True
        await self._tell(held, "cancelled")
        held.holder.settle(held)

    async def tell_started(self, held: Held) -> None:
        """It begins to run: returns when the scheduler's session has the news."""
        await self._tell(held, "started")

    async def _tell(self, held: Held, outcome: str) -> None:
        attempt = held.envelope.attempt if held.envelope is not None else 1
        payload = pack([[held.job_id, attempt, outcome]])
        try:
            await self._until_taken(
                lambda: self._sender.to_scheduler(self._sender.topics.done, payload), held
            )
        except NoScheduler:
            log.warning("no scheduler to tell that a job is %s id=%s", outcome, held.job_id)

    # -- again and failed ----------------------------------------------------------------------

    async def _hand_over_again(self, held: Held, outcome: Again) -> None:
        try:
            await self._pass_on(held, outcome)
        except (NoScheduler, NobodyHoldsJobs):
            await self._wait_here(held, outcome)
        else:
            held.holder.settle(held)

    async def _pass_on(self, held: Held, outcome: Again) -> None:
        envelope, sender = outcome.envelope, self._sender
        if envelope.stored or outcome.delay > 0:
            payload = envelope.evolve(delay=outcome.delay, run_at=None).encode()
            await self._until_taken(
                lambda: sender.to_scheduler(sender.topics.schedule, payload), held
            )
        else:
            payload = envelope.encode()
            await self._until_taken(lambda: sender.send(held.queue, payload), held)

    async def _wait_here(self, held: Held, outcome: Again) -> None:
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
            with contextlib.suppress(NoScheduler, NobodyHoldsJobs):
                await self._pass_on(held, outcome)
                held.holder.settle(held)

    async def _hand_over_unadmitted(self, held: Held, outcome: Unadmitted) -> None:
        await self._until_kept(self._sender.topics.schedule, outcome.envelope.encode(), held)
        held.holder.settle(held)

    async def _hand_over_failed(self, held: Held, outcome: Failed) -> None:
        await self._until_kept(self._sender.topics.failed, outcome.record.encode(), held)
        if outcome.hook is not None and not outcome.hook_last:
            await outcome.hook()
        held.holder.settle(held)
        if outcome.hook is not None and outcome.hook_last:
            await outcome.hook()

    async def _until_kept(self, topic: str, payload: bytes, held: Held) -> None:
        """Hand over what only a scheduler can keep, however long it takes until there is one."""
        sender = self._sender
        while True:
            try:
                await self._until_taken(lambda: sender.to_scheduler(topic, payload), held)
            except NoScheduler as error:
                log.error(
                    "waits for a scheduler id=%s queue=%s error=%s", held.job_id, held.queue, error
                )
                await sender.surroundings.scheduler_changed.wait(_TRY_AGAIN)
            else:
                return

    async def _until_taken(self, send: Callable[[], Awaitable[None]], held: Held) -> None:
        while True:
            try:
                await send()
            except ConnectionLost as error:
                log.info("hand-over repeats id=%s cause=%s", held.job_id, error)
            except PublishRefused as error:
                log.error("hand-over refused id=%s error=%s", held.job_id, error)
                await asyncio.sleep(_TRY_AGAIN)
            else:
                return
