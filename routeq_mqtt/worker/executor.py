"""Runs one job: a pipe of named steps from a held message to an outcome."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import (
    Fail,
    PackingError,
    RefusedJob,
    Release,
    Retry,
    UnknownJob,
    UnreadableMessage,
    UnsupportedVersion,
)
from routeq_mqtt.job.codec import from_envelope
from routeq_mqtt.job.context import restored
from routeq_mqtt.job.job import is_planned, set_reporter
from routeq_mqtt.job.middleware import around, wrapped
from routeq_mqtt.job.plan import plan
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.wire.options import needs_admission
from routeq_mqtt.wire.packing import pack
from routeq_mqtt.wire.record import REFUSED, FailedRecord
from routeq_mqtt.wire.result import JobResult
from routeq_mqtt.worker.outcome import Again, Done, Failed, Outcome, Unadmitted
from routeq_mqtt.worker.policy import RetryPolicy, options_after, why_no_more
from routeq_mqtt.worker.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.job.job import Job
    from routeq_mqtt.security.guard import Guard
    from routeq_mqtt.wire.envelope import Envelope
    from routeq_mqtt.worker.held import Held

log = logging.getLogger(__name__)

Reporter = Callable[[float, float | None, str], None]

_TRACEBACK_CHARS = 4_000
_MOST_SEALED = 2_800
"""Characters of a text that is sealed: in base64 it stays whole within a record's limit."""

DIED = "worker died while running it"


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
        self._worker = worker
        self._clock = clock
        self._limits = limits
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="job")
        self._processes = Processes()

    def close(self) -> None:
        """Start no more threads, those that run are left alone; end the processes."""
        self._processes.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def execute(self, held: Held) -> Outcome:
        """Run a held message to its outcome. Raises nothing but its own cancellation."""
        envelope = held.envelope
        if envelope is None:
            return self._unreadable(held, held.error or UnreadableMessage("unknown"))
        try:
            opened = self._opened(envelope)
        except RefusedJob as error:
            return self._refused(held, REFUSED, str(error))
        if opened.expires_at is not None and opened.expires_at <= self._clock.now():
            return self._refused(held, "expired", f"its expires_at {opened.expires_at} is past")
        early = self._seconds_early(envelope)
        if early > 0:
            return self._released(held, envelope, Release(early, "not due yet"))
        try:
            named = opened if opened.id else opened.evolve(id=held.job_id)
            job = from_envelope(named)
        except UnknownJob as error:
            return self._refused(held, "unknown job", str(error))
        except UnreadableMessage as error:
            return self._refused(held, "unreadable", self._guard.words(str(error), envelope))
        except Exception as error:  # noqa: BLE001 - an old-style __init__ is the user's code
            return self._refused(held, "unreadable", self._words(envelope, error))
        if _is_undecided(job, envelope) or self._is_past_its_limit(held, envelope):
            return self._unadmitted(held, envelope, job)
        set_reporter(job, self._reporter(held))
        policy = RetryPolicy.of(
            type(job), opened, timeout=self._limits.timeout, max_tries=self._limits.max_tries
        )
        # Too many, or the last of them took its last attempt along.
        if envelope.deaths >= self._limits.max_deliveries or envelope.attempt > policy.max_tries:
            return self._died(held, envelope, job)
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
        scope = asyncio.timeout(policy.timeout)
        try:
            async with scope:
                value = await self._handle(job, envelope)
        except Fail as error:
            return self._failed(held, envelope, job, "failed on purpose", error)
        except Release as error:
            return self._released(held, envelope, error)
        except Retry as error:
            return self._next(held, envelope, job, policy, error, error.delay)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            return self._next(held, envelope, job, policy, error, None)  # something it awaited was
        except Exception as error:  # noqa: BLE001 - the job boundary
            if scope.expired() and isinstance(error, TimeoutError):
                error = TimeoutError(f"ran longer than its timeout of {policy.timeout} s")
                return self._next(held, envelope, job, policy, error, None, timed_out=True)
            return self._next(held, envelope, job, policy, error, None)
        return self._done(held, envelope, job, value)

    def _done(self, held: Held, envelope: Envelope, job: Job, value: object) -> Outcome:
        ttl = envelope.options.get("result_ttl", type(job).result_ttl)
        if not ttl:
            return Done()
        try:
            packed = pack(value)
        except PackingError as error:
            # Not tried again: the work is done.
            return self._failed(held, envelope, job, "its result cannot travel", error)
        value = self._guard.result(packed, held.job_id, envelope)
        return Done(JobResult(id=held.job_id, attempt=envelope.attempt, value=value, ttl=ttl))

    async def _handle(self, job: Job, envelope: Envelope) -> object:
        def call(inner: Job) -> Coroutine[Any, Any, object]:
            if type(inner).executor == "process":
                return self._processes.run(inner, envelope)
            return self._call(inner.handle)

        chain = around(type(job))
        run = wrapped(chain, call) if chain else call
        if not envelope.headers:
            return await run(job)
        with restored(envelope.headers):
            return await run(job)

    async def _call(self, handler: Callable[..., Any], *args: object) -> object:
        if inspect.iscoroutinefunction(handler):
            return await handler(*args)
        return await self._call_in_thread(handler, *args)

    async def _call_in_thread(self, handler: Callable[..., Any], *args: object) -> object:
        """A thread cannot be stopped: the run is over when it returns, however late."""
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: context.run(handler, *args)
        )
        try:
            result = await asyncio.shield(future)
        except asyncio.CancelledError:
            log.warning("a plain function runs past its timeout, its slot waits for it")
            await asyncio.wait({future})
            result = future.result()
        return await result if inspect.isawaitable(result) else result

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
            return self._failed(held, envelope, job, over, error)
        errors = [*envelope.errors, self._error(envelope, error)]
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
            self._words(envelope, error),
        )
        if self._guard.signer is not None:
            following = self._guard.renew(following, now + wait)
        return Again(following, wait, self._words(envelope, error))

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

    # -- failing -------------------------------------------------------------------------------

    def _failed(
        self, held: Held, envelope: Envelope, job: Job, reason: str, error: BaseException
    ) -> Failed:
        log.warning(
            "job=%s id=%s queue=%s attempt=%d outcome=failed reason=%r error=%s",
            envelope.job,
            held.job_id,
            held.queue,
            envelope.attempt,
            reason,
            self._words(envelope, error),
        )
        attempts = [*envelope.errors, self._error(envelope, error)]
        record = self._record(held, reason, self._words(envelope, error), attempts)
        return Failed(record, self._hook(job, error))

    def _died(self, held: Held, envelope: Envelope, job: Job) -> Failed:
        error = RuntimeError(f"{DIED} ({envelope.deaths} times)")
        record = self._record(held, DIED, str(error), list(envelope.errors))
        return Failed(record, self._hook(job, error), hook_last=True)

    def _unreadable(self, held: Held, error: UnreadableMessage) -> Failed:
        version = isinstance(error, UnsupportedVersion)
        return self._refused(held, "unsupported version" if version else "unreadable", str(error))

    def _refused(self, held: Held, reason: str, error: str) -> Failed:
        log.warning(
            "id=%s queue=%s outcome=failed reason=%r error=%s",
            held.job_id,
            held.queue,
            reason,
            error,
        )
        errors = list(held.envelope.errors) if held.envelope is not None else []
        return Failed(self._record(held, reason, error, errors))

    def _record(
        self, held: Held, reason: str, error: str, attempts: list[dict[str, Any]]
    ) -> FailedRecord:
        return FailedRecord(
            id=held.job_id,
            queue=held.queue,
            job=held.envelope.job if held.envelope is not None else None,
            reason=reason,
            error=error,
            attempts=attempts,
            worker=self._worker,
            failed_at=self._clock.now(),
            envelope=held.payload,
        )

    def _error(self, envelope: Envelope, error: BaseException) -> dict[str, Any]:
        trace = "".join(traceback.format_exception(error))
        return {
            "attempt": envelope.attempt,
            "type": type(error).__name__,
            "message": self._guard.words(str(error)[:1_000], envelope),
            "traceback": self._guard.words(
                trace[-(_MOST_SEALED if envelope.extra else _TRACEBACK_CHARS) :], envelope
            ),
            "worker": self._worker,
            "at": self._clock.now(),
        }

    def _words(self, envelope: Envelope, error: BaseException) -> str:
        text = f"{type(error).__name__}: {error}"
        return self._guard.words(text[:_MOST_SEALED] if envelope.extra else text, envelope)

    def _hook(self, job: Job, error: BaseException) -> Callable[[], Any]:
        async def call() -> None:
            try:
                async with asyncio.timeout(type(job).timeout or None):
                    await self._call(job.failed, error)
            except Exception:
                log.exception("failed() of job=%s id=%s raised", type(job).__name__, job.job_id)

        return call


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
