"""How a run ended, as data. Where each outcome goes is a table in `settler`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.wire.envelopes.record import FailedRecord
    from routeq_mqtt.wire.envelopes.result import JobResult


@dataclass(frozen=True, slots=True)
class Done:
    """The job did its work; `result` is what `handle` returned, where that is to be kept."""

    result: JobResult | None = None


DONE = Done()
"""Most jobs end like this."""


@dataclass(frozen=True, slots=True)
class Again:
    """The job runs again: `envelope` is its next attempt, `delay` seconds from now."""

    envelope: Envelope
    delay: float
    error: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No more tries.

    Attributes:
        record: what is kept.
        hook: calls the job's own ``failed(error)``; None where there is no job to ask.
        hook_last: only after the acknowledgement, since the job has killed workers.
    """

    record: FailedRecord
    hook: Callable[[], Awaitable[None]] | None = None
    hook_last: bool = field(default=False)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody called it off."""


@dataclass(frozen=True, slots=True)
class Unadmitted:
    """The scheduler has to decide first whether and when it runs: it came here past it."""

    envelope: Envelope


Outcome = Done | Again | Failed | Cancelled | Unadmitted


def event_of(outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
    """The event that an outcome is, and what is told with it; None: the job has not run."""
    match outcome:
        case Done():
            return "done", {}
        case Again():
            return "retried", {"delay": outcome.delay, "error": outcome.error}
        case Cancelled():
            return "cancelled", {}
        case Failed():
            return "failed", {"reason": outcome.record.reason, "error": outcome.record.error}
        case Unadmitted():
            return None
