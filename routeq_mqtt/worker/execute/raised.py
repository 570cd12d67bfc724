"""What follows from what a run raised: another attempt, the same one later, or a failed record."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.boundary import control_in, described, is_a, one_line
from routeq_mqtt.errors import Fail, Release, Retry
from routeq_mqtt.worker.execute.outcome import Again, Outcome
from routeq_mqtt.worker.execute.retry_policy import options_after, retry_until, why_no_more

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.security.guard import Guard
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.worker.delivery import Delivery
    from routeq_mqtt.worker.execute.failures import Failing
    from routeq_mqtt.worker.execute.retry_policy import RetryPolicy

log: logging.Logger = logging.getLogger(__name__)


class AfterError:
    """Decides by the class of the job, its envelope and the exception.

    Args:
        clock: what time it is.
        guard: renews signatures.
        failing: makes failed records.
    """

    def __init__(self, clock: Clock, guard: Guard, failing: Failing) -> None:
        self._clock = clock
        self._guard = guard
        self._failing = failing

    def outcome(
        self,
        held: Delivery,
        envelope: Envelope,
        job: Job,
        policy: RetryPolicy,
        error: BaseException,
        *,
        timed_out: bool = False,
    ) -> Outcome:
        """The outcome of a run that ended with an exception.

        Args:
            held: the message.
            envelope: as it was opened.
            job: that ran.
            policy: what held for the run.
            error: what came out of users' code, whatever it is.
            timed_out: it ran longer than its timeout.
        """
        control = control_in(error)
        if isinstance(control, Fail):
            return self._failing.failed(held, envelope, job, "failed on purpose", control)
        if isinstance(control, Release):
            return self._released_by(held, envelope, job, control)
        now = self._clock.now()
        delay = control.delay if isinstance(control, Retry) else None
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
        following = envelope.evolve(
            id=envelope.id or held.job_id,
            queue=held.queue,
            attempt=envelope.attempt + 1,
            options=options,
            delay=None,
            run_at=None,
        )
        return self._again(held, envelope, following, error, wait)

    def _again(
        self,
        held: Delivery,
        envelope: Envelope,
        following: Envelope,
        error: BaseException,
        wait: float,
    ) -> Again:
        raised = described(error)
        line = self._failing.line(envelope, raised)
        asked = is_a(error, Retry)  # no error: a line is enough
        log.log(
            logging.INFO if asked else logging.WARNING,
            "job=%s id=%s queue=%s attempt=%d outcome=retry delay=%.3f error=%s%s",
            envelope.job,
            held.job_id,
            held.queue,
            envelope.attempt,
            wait,
            one_line(line),
            "" if asked else self._failing.trace(envelope, raised),
        )
        following = following.evolve(
            errors=[*envelope.errors, self._failing.error(held, envelope, raised)]
        )
        if self._guard.signer is not None:
            following = self._guard.renew(following, self._clock.now() + wait)
        return Again(following, wait, line)

    def _released_by(self, held: Delivery, envelope: Envelope, job: Job, error: Release) -> Outcome:
        """Asked for by the job itself, which may not begin again after its `retry_until`."""
        now = self._clock.now()
        until = retry_until(type(job), envelope, now)
        if until is None:
            return self.released(held, envelope, error)
        if now + error.delay > until:
            return self._failing.failed(held, envelope, job, "retry_until", error)
        options = envelope.options | {"retry_until": until}
        return self.released(held, envelope.evolve(options=options), error)

    def released(self, held: Delivery, envelope: Envelope, error: Release) -> Again:
        """The same attempt again: only the delivery tells it from the one that ends here."""
        same = envelope.evolve(
            id=envelope.id or held.job_id,
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
        if self._guard.signer is not None:
            same = self._guard.renew(same, self._clock.now() + error.delay)
        return Again(same, error.delay, described(error).text)
