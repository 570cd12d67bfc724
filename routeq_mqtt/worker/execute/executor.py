"""Runs one job: a pipe of named steps from a held message to an outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.boundary import described, is_a
from routeq_mqtt.eager import EagerCoroutine
from routeq_mqtt.errors import (
    LONGEST_DELAY,
    PackingError,
    RefusedJob,
    Release,
    UnknownJob,
    UnreadableMessage,
)
from routeq_mqtt.jobs.admission_options import plan
from routeq_mqtt.jobs.codec import encoded_result, from_envelope
from routeq_mqtt.jobs.job import is_planned, set_reporter
from routeq_mqtt.jobs.keywords import options_of
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.tasks import uncancel
from routeq_mqtt.wire.display import moment
from routeq_mqtt.wire.envelopes.options import needs_admission
from routeq_mqtt.wire.envelopes.record import REFUSED
from routeq_mqtt.wire.envelopes.result import JobResult
from routeq_mqtt.wire.packing import pack
from routeq_mqtt.worker.execute.failures import Failing
from routeq_mqtt.worker.execute.invoke import Invoker
from routeq_mqtt.worker.execute.outcome import DONE, Cancelled, Done, Failed, Outcome, Unadmitted
from routeq_mqtt.worker.execute.overrides import within
from routeq_mqtt.worker.execute.raised import AfterError
from routeq_mqtt.worker.execute.retry_policy import RetryPolicy
from routeq_mqtt.worker.execute.timeout import PausableTimeout

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.security.guard import Guard
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.worker.delivery import Delivery

log: logging.Logger = logging.getLogger(__name__)

MAX_RESULT = 1024 * 1024
"""Bytes of a packed result; a larger one would keep its worker's connection busy, or break it."""

Reporter = Callable[[float, float | None, str], None]

GivenUp = Callable[["Delivery", Outcome], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the worker's flags say; a job's own value takes precedence.

    Attributes:
        timeout: seconds that one run may take; None: the class's.
        max_tries: attempts; None: the class's.
        max_deliveries: how many workers a job may take down; default 5.
        overrides: whether a message may set options of its own, within what its class allows.
        cancel_timeout: seconds that a cancelled coroutine gets to end; default 10.
    """

    timeout: float | None = None
    max_tries: int | None = None
    max_deliveries: int = 5
    overrides: bool = True
    cancel_timeout: float = 10.0


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
        is_admitted: whether a job of a queue that says so has been decided on by a scheduler.
        is_stopped: whether a cancellation of a job's task is meant for this library; any other
            one is the job's own. Default: every cancellation of the present task.
        given_up: takes the outcome of a job whose coroutine has ignored its timeout: the call of
            `execute` has not returned by then, and what it returns later counts for nothing.
    """

    def __init__(
        self,
        worker: str,
        clock: Clock,
        limits: Limits,
        *,
        threads: int,
        reporter: Callable[[Delivery], Reporter],
        guard: Guard = OPEN,
        is_limited: Callable[[str], bool] = lambda queue: False,
        is_admitted: Callable[[Envelope, str], bool] = lambda envelope, queue: True,
        is_stopped: Callable[[Delivery], bool] = lambda held: _is_cancelled(),
        given_up: GivenUp | None = None,
    ) -> None:
        self._is_limited = is_limited
        self._is_admitted = is_admitted
        self._is_stopped = is_stopped
        self._given_up = given_up
        self._guard = guard
        self.reporter = reporter
        self._clock = clock
        self._limits = limits
        self._caller = Invoker(threads, limits.cancel_timeout)
        self._failing = Failing(worker, clock, guard, self._caller.failed)
        self._after_error = AfterError(clock, guard, self._failing)

    def close(self) -> None:
        """Start no more threads, those that run are left alone; end the processes."""
        self._caller.close()

    async def execute(self, held: Delivery) -> Outcome:
        """Run a held message to its outcome. Raises nothing but its own cancellation.

        This is the boundary of users' code: what it raises, wherever it is called, ends here.
        """
        try:
            return await self._execute(held)
        except BaseException as error:
            if self._is_ours(held, error):
                raise
            return self.broken(held, error)

    def broken(self, held: Delivery, error: BaseException) -> Outcome:
        """A job that could not be brought to its end: a failed record, with no more tries."""
        raised = described(error)
        trace = "" if held.envelope is None else self._failing.trace(held.envelope, raised)
        log.error("id=%s queue=%s cannot be run%s", held.job_id, held.queue, trace)
        words = raised.line
        if held.envelope is not None:
            words = self._failing.words(held.envelope, error)
        return self._failing.refused(held, "exception", words)

    def _is_ours(self, held: Delivery, error: BaseException) -> bool:
        """Whether the run itself is to end: it is cancelled, or its coroutine is closed."""
        if is_a(error, asyncio.CancelledError):
            return self._is_stopped(held)
        return is_a(error, GeneratorExit) and not _in_a_task()

    async def _execute(self, held: Delivery) -> Outcome:
        envelope = held.envelope
        if envelope is None:
            return self._failing.unreadable(held, held.error or UnreadableMessage("unknown"))
        try:
            opened = self._opened(envelope)
        except RefusedJob as error:
            return self._failing.refused(held, REFUSED, str(error))
        if opened.expires_at is not None and opened.expires_at <= self._clock.now():
            return self._expired(held, envelope, opened, opened.expires_at)
        early = self._seconds_early(envelope)
        if early > 0:
            wait = Release(min(early, LONGEST_DELAY), "not due yet")
            return self._after_error.released(held, envelope, wait)
        job = self.job_of(held, envelope, opened)
        if isinstance(job, Failed):
            return job
        opened, envelope = self._within(job, opened, envelope)
        policy = self._policy(job, opened)
        if self._is_undecided(held, job, envelope) or self._is_past_its_limit(held, envelope):
            return self._unadmitted(held, envelope, job, policy)
        set_reporter(job, self.reporter(held))
        # Too many, or the last of them took its last attempt along.
        if envelope.deaths >= self._limits.max_deliveries or envelope.attempt > policy.max_tries:
            return self._failing.died(held, envelope, job)
        return await self._run(held, envelope, job, policy)

    def _expired(self, held: Delivery, envelope: Envelope, opened: Envelope, at: float) -> Outcome:
        why = f"expired at {moment(at)}"
        job = self.job_of(held, envelope, opened)
        if isinstance(job, Failed):  # its class is not known here: no `failed()` to call
            return self._failing.refused(held, "expired", why)
        return self._failing.expired(held, job, why)

    def job_of(self, held: Delivery, envelope: Envelope, opened: Envelope) -> Job | Failed:
        """The job of an envelope, or what becomes of a message that makes none."""
        try:
            return from_envelope(opened if opened.id else opened.evolve(id=held.job_id))
        except UnknownJob as error:
            return self._failing.refused(held, "unknown job", str(error))
        except UnreadableMessage as error:
            return self._failing.refused(
                held, "unreadable", self._guard.words(str(error), envelope)
            )
        except BaseException as error:
            if self._is_ours(held, error):
                raise
            # An __init__ of the older kind is users' code.
            return self._failing.refused(held, "unreadable", self._failing.words(envelope, error))

    def _opened(self, envelope: Envelope) -> Envelope:
        if not envelope.extra and not self._guard.strict:
            return envelope
        return self._guard.admit(envelope, self._clock.now())

    def _within(self, job: Job, opened: Envelope, envelope: Envelope) -> tuple[Envelope, Envelope]:
        """Both, with what the message asks for within what the class allows."""
        now, allowed = self._clock.now(), self._limits.overrides
        bounded = within(type(job), opened, now, allowed=allowed)
        if bounded is opened:
            return opened, envelope
        return bounded, envelope.evolve(options=bounded.options)

    def _seconds_early(self, envelope: Envelope) -> float:
        """How long before its time a job is here.

        A scheduler takes delay and run_at out; where the broker shares `$queue` itself, a device's
        message comes here first.
        """
        if envelope.delay is not None:
            return envelope.delay
        return 0.0 if envelope.run_at is None else envelope.run_at - self._clock.now()

    def _is_past_its_limit(self, held: Delivery, envelope: Envelope) -> bool:
        """Whether it came past the scheduler, which gives the jobs of this queue their turn."""
        return not envelope.stored and self._is_limited(held.queue)

    # -- for the quick lane --------------------------------------------------------------------

    def decides_nothing(self, held: Delivery, envelope: Envelope) -> bool:
        """Whether this worker's keys and limits have no say in a plain job."""
        return not self._guard.strict and not self._is_past_its_limit(held, envelope)

    def raised_at_once(
        self, held: Delivery, envelope: Envelope, job: Job, error: BaseException
    ) -> Outcome:
        """What follows from what a plain job raised before it waited for anything."""
        if self._is_ours(held, error):
            return Cancelled()
        policy = self._policy(job, envelope)
        return self._after_error.outcome(held, envelope, job, policy, error)

    async def finish(self, held: Delivery, job: Job, run: EagerCoroutine[object]) -> Outcome:
        """Run a plain job to its outcome that waits for something; as `execute`."""
        envelope = held.envelope
        assert envelope is not None  # noqa: S101 - a plain job has one
        try:
            policy = self._policy(job, envelope)
            limit = PausableTimeout(policy.timeout, grace=self._limits.cancel_timeout)
            return await self._finish(held, envelope, job, policy, limit, run)
        except BaseException as error:
            if self._is_ours(held, error):
                raise
            return self.broken(held, error)

    def _policy(self, job: Job, opened: Envelope) -> RetryPolicy:
        return RetryPolicy.of(
            type(job), opened, timeout=self._limits.timeout, max_tries=self._limits.max_tries
        )

    # -- running -------------------------------------------------------------------------------

    async def _run(
        self, held: Delivery, envelope: Envelope, job: Job, policy: RetryPolicy
    ) -> Outcome:
        limit = PausableTimeout(policy.timeout, grace=self._limits.cancel_timeout)
        try:
            run = EagerCoroutine(self._caller.handle(job, envelope, limit))
        except BaseException as error:
            if self._is_ours(held, error):
                raise
            outcome = self._raised(held, envelope, job, policy, limit, error)
            return await self.after_cancellation(held, outcome)
        return await self._finish(held, envelope, job, policy, limit, run)

    async def _finish(
        self,
        held: Delivery,
        envelope: Envelope,
        job: Job,
        policy: RetryPolicy,
        limit: PausableTimeout,
        run: EagerCoroutine[object],
    ) -> Outcome:
        """The rest of a run that has begun."""
        try:
            if run.over:
                value = run.value
            else:
                held.limit = limit
                value = await limit.over(
                    run, lambda: self._give_up(held, envelope, job, policy, limit)
                )
        except BaseException as error:
            if limit.given_up:
                return Cancelled()
            if self._is_ours(held, error):
                raise
            outcome = self._raised(held, envelope, job, policy, limit, error)
        else:
            outcome = Cancelled() if limit.given_up else self._done(held, envelope, job, value)
        return await self.after_cancellation(held, outcome)

    async def after_cancellation(self, held: Delivery, outcome: Outcome) -> Outcome:
        """An outcome, once a cancellation that the job left behind is forgotten."""
        task = asyncio.current_task()
        if task is not None and task.cancelling() and not self._is_stopped(held):
            await self._forget_cancellation(task, held)
        return outcome

    def _raised(
        self,
        held: Delivery,
        envelope: Envelope,
        job: Job,
        policy: RetryPolicy,
        limit: PausableTimeout,
        error: BaseException,
    ) -> Outcome:
        timed_out = limit.expired and is_a(error, TimeoutError)
        if timed_out:
            error = TimeoutError(f"ran longer than its timeout of {policy.timeout} s")
        return self._after_error.outcome(held, envelope, job, policy, error, timed_out=timed_out)

    def _give_up(
        self,
        held: Delivery,
        envelope: Envelope,
        job: Job,
        policy: RetryPolicy,
        limit: PausableTimeout,
    ) -> None:
        if self._given_up is None:
            limit.given_up = False
            return
        error = TimeoutError(
            f"ran longer than its timeout of {policy.timeout} s, and ignored its cancellation "
            f"for {self._limits.cancel_timeout} s: handle() must let asyncio.CancelledError pass"
        )
        outcome = self._after_error.outcome(held, envelope, job, policy, error, timed_out=True)
        self._given_up(held, outcome)

    async def _forget_cancellation(self, task: asyncio.Task[Any], held: Delivery) -> None:
        """A job that has cancelled its own task must not stop the next one in this slot."""
        uncancel(task)
        try:
            await asyncio.sleep(0)  # one that was not delivered yet
        except asyncio.CancelledError:
            if self._is_stopped(held):
                raise
            uncancel(task)

    def _done(self, held: Delivery, envelope: Envelope, job: Job, value: object) -> Outcome:
        ttl = envelope.options.get("result_ttl", options_of(type(job)).result_ttl)
        if not ttl:
            return DONE
        try:
            packed = pack(encoded_result(job, value))
        except BaseException as error:  # noqa: BLE001 - values have methods of the user's
            # Not tried again: the work is done.
            return self._failing.failed(held, envelope, job, "its result cannot travel", error)
        if len(packed) > MAX_RESULT:
            too_large = PackingError(
                f"{type(job).__name__}.handle() returned {len(packed)} bytes, more than "
                f"{MAX_RESULT}; return a reference to the data"
            )
            return self._failing.failed(held, envelope, job, "its result cannot travel", too_large)
        value = self._guard.result(packed, envelope.id or held.job_id, envelope)
        return Done(
            JobResult(
                id=held.job_id, attempt=envelope.attempt, value=value, ttl=ttl, row=envelope.row
            )
        )

    def _is_undecided(self, held: Delivery, job: Job, envelope: Envelope) -> bool:
        """Whether the scheduler has something to decide on this job, and has not."""
        options = envelope.options
        if not options:
            return is_planned(type(job))
        if options.get("admitted"):
            return not self._is_admitted(envelope, held.queue)
        return needs_admission(options) or is_planned(type(job))

    def _unadmitted(
        self, held: Delivery, envelope: Envelope, job: Job, policy: RetryPolicy
    ) -> Outcome:
        """Sent by a device, or by name: its class knows what the scheduler has to decide.

        A method that gives a key and raises costs an attempt, as `handle` does.
        """
        try:
            options = (
                plan(job)
                | envelope.options
                | {"across_queues": options_of(type(job)).across_queues or None}
            )
        except BaseException as error:
            if self._is_ours(held, error):
                raise
            return self._after_error.outcome(held, envelope, job, policy, error)
        return Unadmitted(
            envelope.evolve(
                id=envelope.id or held.job_id,
                queue=held.queue,
                deliveries=envelope.deliveries + 1,
                options={name: part for name, part in options.items() if part is not None},
            )
        )


def _in_a_task() -> bool:
    """Whether code runs on behalf of a task; not while the interpreter closes what is left."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def _is_cancelled() -> bool:
    """Whether this very task is to end, not only something that it awaited."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
