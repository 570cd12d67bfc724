"""Makes failed records: what went wrong with a job, in words and with its whole message."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from routeq_mqtt.boundary import Described, described, one_line
from routeq_mqtt.errors import UnsupportedVersion
from routeq_mqtt.wire.envelopes.record import FailedRecord
from routeq_mqtt.worker.execute.outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.errors import UnreadableMessage
    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.security.guard import Guard
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.worker.delivery import Delivery

log: logging.Logger = logging.getLogger(__name__)

_TRACEBACK_CHARS = 4_000
_MOST_SEALED = 2_800
"""Characters of a text that is sealed: in base64 it stays whole within a record's limit."""

DIED = "worker died while running it"


class Failing:
    """Turns what went wrong into outcomes.

    Args:
        worker: its id.
        clock: what time it is.
        guard: seals words of a sealed job.
        call_failed: calls a job's `failed()`.
    """

    def __init__(
        self,
        worker: str,
        clock: Clock,
        guard: Guard,
        call_failed: Callable[[Job, BaseException], Awaitable[None]],
    ) -> None:
        self._worker = worker
        self._clock = clock
        self._guard = guard
        self._call_failed = call_failed

    def failed(
        self, held: Delivery, envelope: Envelope, job: Job, reason: str, error: BaseException
    ) -> Failed:
        """It ran, and that was its last attempt."""
        raised = described(error)
        line = self.line(envelope, raised)
        log.error(
            "job=%s id=%s queue=%s attempt=%d outcome=failed reason=%r error=%s%s",
            envelope.job,
            held.job_id,
            held.queue,
            envelope.attempt,
            reason,
            one_line(line),
            self.trace(envelope, raised),
        )
        attempts = [*envelope.errors, self.error(held, envelope, raised)]
        record = self._record(held, reason, line, attempts)
        return Failed(record, lambda: self._call_failed(job, error))

    def died(self, held: Delivery, envelope: Envelope, job: Job) -> Failed:
        """Workers that ran it died, too often."""
        error = RuntimeError(f"{DIED} ({envelope.deaths} times)")
        log.error(
            "job=%s id=%s queue=%s attempt=%d outcome=failed reason=%r error=%s",
            envelope.job,
            held.job_id,
            held.queue,
            envelope.attempt,
            DIED,
            error,
        )
        record = self._record(held, DIED, str(error), list(envelope.errors))
        return Failed(record, lambda: self._call_failed(job, error), hook_last=True)

    def expired(self, held: Delivery, job: Job, why: str) -> Failed:
        """Its time had passed when a worker would have started it."""
        error = TimeoutError(why)
        record = self.refused(held, "expired", why).record
        return Failed(record, lambda: self._call_failed(job, error))

    def unreadable(self, held: Delivery, error: UnreadableMessage) -> Failed:
        """It is no envelope, or one of a later version."""
        version = isinstance(error, UnsupportedVersion)
        return self.refused(held, "unsupported version" if version else "unreadable", str(error))

    def refused(self, held: Delivery, reason: str, error: str) -> Failed:
        """It is not run at all."""
        log.error(
            "id=%s queue=%s outcome=failed reason=%r error=%s",
            held.job_id,
            held.queue,
            reason,
            one_line(error),
        )
        errors = list(held.envelope.errors) if held.envelope is not None else []
        return Failed(self._record(held, reason, error, errors))

    def error(self, held: Delivery, envelope: Envelope, raised: Described) -> dict[str, Any]:
        """An error of one attempt, as it travels."""
        trace = raised.traceback
        ran = {"seconds": round(self._clock.monotonic() - held.began, 4)} if held.began else {}
        return {
            "attempt": envelope.attempt,
            "type": raised.kind,
            "message": self._guard.words(raised.text[:1_000], envelope),
            "traceback": self._guard.words(
                trace[-(_MOST_SEALED if envelope.extra else _TRACEBACK_CHARS) :], envelope
            ),
            "worker": self._worker,
            "at": self._clock.now(),
            **ran,
        }

    def words(self, envelope: Envelope, error: BaseException) -> str:
        """An error in one line; sealed where the job is."""
        return self.line(envelope, described(error))

    def line(self, envelope: Envelope, raised: Described) -> str:
        """As `words`."""
        line = raised.line
        return self._guard.words(line[:_MOST_SEALED] if envelope.extra else line, envelope)

    def trace(self, envelope: Envelope, raised: Described) -> str:
        """A traceback as it follows a log line; none where the job's data travel sealed."""
        is_open = self._guard.words("", envelope) == ""
        return f"\n{raised.for_log}" if is_open else ""

    def _record(
        self, held: Delivery, reason: str, error: str, attempts: list[dict[str, Any]]
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
