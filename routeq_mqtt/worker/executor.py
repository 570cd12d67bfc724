"""Runs one job: a pipe of named steps from a held message to an outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from routeq_mqtt.begun import Begun
from routeq_mqtt.errors import (
    Fail,
    PackingError,
    RefusedJob,
    Release,
    Retry,
    UnknownJob,
    UnreadableMessage,
)
from routeq_mqtt.job.codec import from_envelope
from routeq_mqtt.job.job import is_planned, set_reporter
from routeq_mqtt.job.plan import plan
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.wire.options import needs_admission
from routeq_mqtt.wire.packing import pack
from routeq_mqtt.wire.record import REFUSED
from routeq_mqtt.wire.result import JobResult
from routeq_mqtt.worker.calling import Caller
from routeq_mqtt.worker.failing import Failing
from routeq_mqtt.worker.limit import TimeLimit
from routeq_mqtt.worker.outcome import DONE, Again, Done, Outcome, Unadmitted
from routeq_mqtt.worker.policy import RetryPolicy, options_after, why_no_more

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.job.job import Job
    from routeq_mqtt.security.guard import Guard
    from routeq_mqtt.wire.envelope import Envelope
    from routeq_mqtt.worker.held import Held

log = logging.getLogger(__name__)

Reporter = Callable[[float, float | None, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the worker's flags say; a job's own value beats them.

    Attributes:
        timeout: seconds that one run may take; None: the class's.
        max_tries: attempts; None: the class's.
        max_deliveries: how many workers a job may take down; default 5.
    """

    timeout: float | None = None
    max_tries: int | None = None
    max_deliveries: int = 5


class Executor:
    """Turns held messages into outcomes.

    Args:
        worker: its id, for failed records.
        clock: what time it is.
        limits: from the worker's flags.
        threads: how many plain functions may run at once; more wait for a thread.
        guard: the keys of this worker.
        reporter: makes what a job's `progress` calls.
        is_limited: whether only the scheduler says when jobs of a queue are started.
    """

    def __init__(
        self,
        worker: str,
        clock: Clock,
        limits: Limits,
        *,
        threads: int,
        reporter: Callable[[Held], Reporter],
        guard: Guard = OPEN,
        is_limited: Callable[[str], bool] = lambda queue: False,
    ) -> None:
        self._is_limited = is_limited
        self._guard = guard
        self._reporter = reporter
        self._clock = clock
        self._limits = limits
        self._caller = Caller(threads)
        self._failing = Failing(worker, clock, guard, self._caller.failed)

    def close(self) -> None:
        """Start no more threads, those that run are left alone; end the processes."""
        self._caller.close()

    async def execute(self, held: Held) -> Outcome:
        """Run a held message to its outcome. Raises nothing but its own cancellation."""
        envelope = held.envelope
        if envelope is None:
            return self._failing.unreadable(held, held.error or UnreadableMessage("unknown"))
        try:
            opened = self._opened(envelope)
        except RefusedJob as error:
            return self._failing.refused(held, REFUSED, str(error))
        if opened.expires_at is not None and opened.expires_at <= self._clock.now():
            return self._failing.refused(
                held, "expired", f"its expires_at {opened.expires_at} is past"
            )
        early = self._seconds_early(envelope)
        if early > 0:
            return self._released(held, envelope, Release(early, "not due yet"))
        try:
            named = opened if opened.id else opened.evolve(id=held.job_id)
            job = from_envelope(named)
        except UnknownJob as error:
            return self._failing.refused(held, "unknown job", str(error))
        except UnreadableMessage as error:
            return self._failing.refused(
                held, "unreadable", self._guard.words(str(error), envelope)
            )
        except Exception as error:  # noqa: BLE001 - an old-style __init__ is the user's code
            return self._failing.refused(held, "unreadable", self._failing.words(envelope, error))
        if _is_undecided(job, envelope) or self._is_past_its_limit(held, envelope):
            return self._unadmitted(held, envelope, job)
        set_reporter(job, self._reporter(held))
        policy = RetryPolicy.of(
            type(job), opened, timeout=self._limits.timeout, max_tries=self._limits.max_tries
        )
        # Too many, or the last of them took its last attempt along.
        if envelope.deaths >= self._limits.max_deliveries or envelope.attempt > policy.max_tries:
            return self._failing.died(held, envelope, job)
        return await self._run(held, envelope, job, policy)

    def _opened(self, envelope: Envelope) -> Envelope:
        if not envelope.extra and not self._guard.strict:
            return envelope
        return self._guard.admit(envelope, self._clock.now())

    def _seconds_early(self, envelope: Envelope) -> float:
        """How long before its time a job is here.

        A scheduler takes delay and run_at out; where the broker shares `$queue` itself, a device's
        message comes here first.
        """
        if envelope.delay is not None:
            return envelope.delay
        return 0.0 if envelope.run_at is None else envelope.run_at - self._clock.now()

    def _is_past_its_limit(self, held: Held, envelope: Envelope) -> bool:
        """Whether it came past the scheduler, which gives the jobs of this queue their turn."""
        return not envelope.stored and self._is_limited(held.queue)

    # -- running -------------------------------------------------------------------------------

    async def _run(self, held: Held, envelope: Envelope, job: Job, policy: RetryPolicy) -> Outcome:
        limit = TimeLimit(policy.timeout)
        try:
            run = Begun(self._caller.handle(job, envelope, limit))
            value = run.value if run.over else await limit.over(run)
        except Fail as error:
            return self._failing.failed(held, envelope, job, "failed on purpose", error)
        except Release as error:
            return self._released(held, envelope, error)
        except Retry as error:
            return self._next(held, envelope, job, policy, error, error.delay)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            return self._next(held, envelope, job, policy, error, None)  # something it awaited was
        except Exception as error:  # noqa: BLE001 - the job boundary
            if limit.expired and isinstance(error, TimeoutError):
                error = TimeoutError(f"ran longer than its timeout of {policy.timeout} s")
                return self._next(held, envelope, job, policy, error, None, timed_out=True)
            return self._next(held, envelope, job, policy, error, None)
        return self._done(held, envelope, job, value)

    def _done(self, held: Held, envelope: Envelope, job: Job, value: object) -> Outcome:
        ttl = envelope.options.get("result_ttl", type(job).result_ttl)
        if not ttl:
            return DONE
        try:
            packed = pack(value)
        except PackingError as error:
            # Not tried again: the work is done.
            return self._failing.failed(held, envelope, job, "its result cannot travel", error)
        value = self._guard.result(packed, held.job_id, envelope)
        return Done(JobResult(id=held.job_id, attempt=envelope.attempt, value=value, ttl=ttl))

    def _next(
        self,
        held: Held,
        envelope: Envelope,
        job: Job,
        policy: RetryPolicy,
        error: BaseException,
        delay: float | None,
        *,
        timed_out: bool = False,
    ) -> Outcome:
        now = self._clock.now()
        wait = policy.delay_before(envelope.attempt + 1) if delay is None else delay
        options = options_after(type(job), envelope, error, now)
        over = why_no_more(
            type(job),
            options,
            envelope.attempt,
            policy,
            error,
            timed_out=timed_out,
            next_at=now + wait,
        )
        if over is not None:
            return self._failing.failed(held, envelope, job, over, error)
        errors = [*envelope.errors, self._failing.error(envelope, error)]
        following = envelope.evolve(
            id=held.job_id,
            queue=held.queue,
            attempt=envelope.attempt + 1,
            options=options,
            errors=errors,
            delay=None,
            run_at=None,
        )
        log.info(
            "job=%s id=%s queue=%s attempt=%d outcome=again delay=%.3f error=%s",
            envelope.job,
            held.job_id,
            held.queue,
            envelope.attempt,
            wait,
            self._failing.words(envelope, error),
        )
        if self._guard.signer is not None:
            following = self._guard.renew(following, now + wait)
        return Again(following, wait, self._failing.words(envelope, error))

    def _released(self, held: Held, envelope: Envelope, error: Release) -> Again:
        """The same attempt again: only the delivery tells it from the one that ends here."""
        same = envelope.evolve(
            id=held.job_id,
            queue=held.queue,
            deliveries=envelope.deliveries + 1,
            delay=None,
            run_at=None,
        )
        log.info(
            "job=%s id=%s queue=%s attempt=%d outcome=released delay=%.3f",
            envelope.job,
            held.job_id,
            held.queue,
            envelope.attempt,
            error.delay,
        )
        return Again(same, error.delay, str(error))

    def _unadmitted(self, held: Held, envelope: Envelope, job: Job) -> Unadmitted:
        """Sent by a device, or by name: its class knows what the scheduler has to decide."""
        return Unadmitted(
            envelope.evolve(
                id=held.job_id,
                queue=held.queue,
                deliveries=envelope.deliveries + 1,
                options=plan(job) | envelope.options,
            )
        )


def _is_cancelled() -> bool:
    """Whether this very task is to end, not only something that it awaited."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _is_undecided(job: Job, envelope: Envelope) -> bool:
    """Whether the scheduler has something to decide on this job, and has not."""
    options = envelope.options
    if not options:
        return is_planned(type(job))
    return needs_admission(options) or (is_planned(type(job)) and not options.get("admitted"))
