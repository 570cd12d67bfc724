"""What an outbox takes and gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxJob:
    """A job to be kept.

    Attributes:
        id: of the job.
        queue: where it goes.
        stored: it leaves when the scheduler has committed it; else when the broker has it.
        delayed: it has a `run_at`, and so goes by way of the scheduler in any case.
        expires_at: UTC epoch seconds.
        kept_at: when it came in, UTC epoch seconds.
        envelope: what is sent, as it is.
    """

    id: str
    queue: str
    stored: bool
    delayed: bool
    expires_at: float | None
    kept_at: float
    envelope: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow(OutboxJob):
    """A job as the file has it; `seq` is the order of arrival among those that are there."""

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A job that the broker does not take, with the reason: kept, and out of the others' way."""

    id: str
    queue: str
    size: int
    error: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatus:
    """What an outbox holds.

    Attributes:
        jobs: that wait to be sent.
        bytes: that their envelopes have together.
        oldest: when the first of them came in, UTC epoch seconds; None: none waits.
        dropped: jobs that were deleted for room since the file was made (`when_full`).
        aside: jobs that were refused, oldest first, 100 at most; `aside_jobs` is how many.
    """

    jobs: int
    bytes: int
    oldest: float | None
    dropped: int
    aside_jobs: int
    aside: list[SetAside]
