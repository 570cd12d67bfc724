"""Which limits hold for one run: the envelope's own, else the class's, else the worker's flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from routeq_mqtt.job.backoff import Backoff, seconds_before
from routeq_mqtt.job.job import Job

if TYPE_CHECKING:
    from routeq_mqtt.wire.envelope import Envelope


@dataclass(frozen=True, slots=True)
class RetryPolicy:
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
        limit: float | None = job_class.timeout
        if envelope.timeout is not None:
            limit = envelope.timeout or None
        elif timeout is not None and not _sets(job_class, "timeout"):
            limit = timeout or None
        tries = job_class.max_tries
        if envelope.max_tries is not None:
            tries = envelope.max_tries
        elif max_tries is not None and not _sets(job_class, "max_tries"):
            tries = max_tries
        return cls(limit, tries, _backoff(job_class, envelope))

    def delay_before(self, attempt: int) -> float:
        """Seconds to wait before an attempt."""
        return seconds_before(attempt, self.backoff)


def _backoff(job_class: type[Job], envelope: Envelope) -> Backoff:
    chosen = (
        envelope.backoff,
        envelope.retry_after,
        job_class.backoff if _sets(job_class, "backoff") else None,
    )
    return next((wait for wait in chosen if wait is not None), job_class.retry_after)


def _sets(job_class: type[Job], option: str) -> bool:
    """Whether the class, or a base of it below `Job`, sets an option itself."""
    return any(
        option in vars(owner)
        for owner in job_class.__mro__
        if issubclass(owner, Job) and owner is not Job
    )
