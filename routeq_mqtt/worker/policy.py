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
            limit = envelope.timeout
        elif timeout is not None and not _sets(job_class, "timeout"):
            limit = timeout
        tries = job_class.max_tries
        if envelope.max_tries is not None:
            tries = envelope.max_tries
        elif max_tries is not None and not _sets(job_class, "max_tries"):
            tries = max_tries
        return cls(limit or None, tries, _backoff(job_class, envelope))

    def delay_before(self, attempt: int) -> float:
        """Seconds to wait before an attempt."""
        return seconds_before(attempt, self.backoff)


def _backoff(job_class: type[Job], envelope: Envelope) -> Backoff:
    if envelope.backoff is not None:
        return envelope.backoff
    if envelope.retry_after is not None:
        return envelope.retry_after
    for owner in _owners(job_class):  # the nearest class that says anything
        if vars(owner).get("backoff") is not None:
            backoff: Backoff = vars(owner)["backoff"]
            return backoff
        if "retry_after" in vars(owner):
            break
    return job_class.retry_after


def _sets(job_class: type[Job], option: str) -> bool:
    """Whether the class, or a base of it below `Job`, sets an option itself."""
    return any(option in vars(owner) for owner in _owners(job_class))


def _owners(job_class: type[Job]) -> list[type]:
    """The class and its bases below `Job`, mixins included, nearest first."""
    return [owner for owner in job_class.__mro__ if owner not in Job.__mro__]
