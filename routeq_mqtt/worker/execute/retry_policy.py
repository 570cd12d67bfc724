"""Which limits hold for one run: the envelope's own, else the class's, else the worker's flags."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from routeq_mqtt.boundary import is_a, is_any_of
from routeq_mqtt.errors import JobProcessDied, Retry
from routeq_mqtt.jobs.backoff import Backoff, seconds_before
from routeq_mqtt.jobs.job import Job
from routeq_mqtt.jobs.keywords import MISSING, options_of, said_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from routeq_mqtt.wire.envelopes.envelope import Envelope


_UNLIMITED = 1 << 52


class RetryPolicy(NamedTuple):
    """What holds for one run.

    Attributes:
        timeout: seconds; None: no limit.
        max_tries: attempts.
        backoff: seconds before the next attempt.
    """

    timeout: float | None
    max_tries: int
    backoff: Backoff

    @classmethod
    def of(
        cls,
        job_class: type[Job],
        envelope: Envelope,
        *,
        timeout: float | None,
        max_tries: int | None,
    ) -> RetryPolicy:
        """Of a job class and an envelope; `timeout` and `max_tries` are the worker's flags."""
        said = options_of(job_class)
        limit: float | None = said.timeout
        if envelope.timeout is not None:
            limit = envelope.timeout
        elif timeout is not None and not _sets(job_class, "timeout"):
            limit = timeout
        tries = said.max_tries
        if envelope.max_tries is not None:
            tries = envelope.max_tries
        elif said.retry_until is not None and not _sets(job_class, "max_tries"):
            tries = _UNLIMITED
        elif max_tries is not None and not _sets(job_class, "max_tries"):
            tries = max_tries
        return cls(limit or None, tries, _backoff(job_class, envelope))

    def delay_before(self, attempt: int) -> float:
        """Seconds to wait before an attempt."""
        return seconds_before(attempt, self.backoff)


def options_after(
    job_class: type[Job], envelope: Envelope, error: BaseException, now: float
) -> dict[str, Any]:
    """The options that a job has after an error, for its next attempt.

    Asking for a `Retry` is no exception. A device may not know until when its job may be retried.
    """
    options = envelope.options
    job_class = options_of(job_class)
    if job_class.max_exceptions is not None or "max_exceptions" in options:
        count = options.get("exceptions", 0) + (not is_a(error, Retry))
        options = options | {"exceptions": count}
    if job_class.retry_until is not None and "retry_until" not in options:
        options = options | {"retry_until": retry_until(job_class, envelope, now)}
    return options


def retry_until(job_class: type[Job], envelope: Envelope, now: float) -> float | None:
    """Until when a job may begin again, UTC epoch seconds; a device may not know."""
    until: float | None = envelope.options.get("retry_until")
    job_class = options_of(job_class)
    if until is not None or job_class.retry_until is None:
        return until
    since = now if envelope.dispatched_at is None else envelope.dispatched_at
    return since + job_class.retry_until


def why_no_more(
    job_class: type[Job],
    options: Mapping[str, Any],
    attempt: int,
    policy: RetryPolicy,
    error: BaseException,
    *,
    timed_out: bool,
    next_at: float,
) -> str | None:
    """Why the run that just ended was the last one, as a failed record says it; None: it was not.

    Args:
        job_class: of the job.
        options: as they are after the error.
        attempt: that has ended.
        policy: what held for it.
        error: that ended it.
        timed_out: it ran longer than its timeout.
        next_at: when the next attempt would begin, UTC epoch seconds.
    """
    job_class = options_of(job_class)
    if is_any_of(error, job_class.dont_retry_on):
        return "not to be retried"
    last = attempt >= policy.max_tries
    if timed_out and (last or options.get("fail_on_timeout", job_class.fail_on_timeout)):
        return "timeout"
    if last:
        return "process died" if is_a(error, JobProcessDied) else "exception"
    most = options.get("max_exceptions", job_class.max_exceptions)
    if most is not None and options["exceptions"] >= most:
        return "max_exceptions"
    if next_at > options.get("retry_until", inf):
        return "retry_until"
    return None


def _backoff(job_class: type[Job], envelope: Envelope) -> Backoff:
    if envelope.backoff is not None:
        return envelope.backoff
    if envelope.retry_after is not None:
        return envelope.retry_after
    for owner in _owners(job_class):  # the nearest class that says anything
        backoff: Backoff = said_by(owner, "backoff")
        if backoff is not None and backoff is not MISSING:
            return backoff
        if said_by(owner, "retry_after") is not MISSING:
            break
    return options_of(job_class).retry_after


def _sets(job_class: type[Job], option: str) -> bool:
    """Whether the class, or a base of it below `Job`, sets an option itself."""
    return any(said_by(owner, option) is not MISSING for owner in _owners(job_class))


def _owners(job_class: type[Job]) -> Iterator[type]:
    """The class and its bases below `Job`, mixins included, nearest first."""
    for owner in job_class.__mro__:
        if owner not in _NOT_OWN:
            yield owner


_NOT_OWN = frozenset(Job.__mro__)
