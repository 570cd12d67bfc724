"""What the intake takes in with one commit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routeq_mqtt.scheduler.batches import NewBatch
    from routeq_mqtt.scheduler.rows import NewFailed, NewRow
    from routeq_mqtt.wire.result import JobResult


@dataclass(slots=True)
class Commit:
    """See the module.

    Attributes:
        rows: jobs.
        back: jobs that a worker gave back, unstarted.
        special: jobs that need a decision.
        batches: begun or closed.
        failed: records.
        done, cancelled: jobs that have ended, each with its attempt.
        started: ids of jobs whose locks go with their start.
        results: what jobs returned.
        untagged: packet id and digest of a message without an id, and the id that it got.
        answers: of sessions to a census.
        replies: requests for durable dispatch, each with the ids that it brought as `taken`.
        admitted: by the id of a job that needed a decision, the id of the job that counts.
    """

    rows: list[NewRow] = field(default_factory=list)
    back: list[NewRow] = field(default_factory=list)
    special: list[NewRow] = field(default_factory=list)
    batches: list[NewBatch] = field(default_factory=list)
    failed: list[NewFailed] = field(default_factory=list)
    done: list[tuple[str, int]] = field(default_factory=list)
    cancelled: list[tuple[str, int]] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    results: list[JobResult] = field(default_factory=list)
    untagged: list[tuple[int, bytes, str]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)
    admitted: dict[str, str] = field(default_factory=dict)

    def ended(self) -> Iterator[str]:
        """Ids of the jobs that have ended."""
        yield from (result.id for result in self.results)
        yield from (record.id for record in self.failed)
        yield from (job_id for job_id, _ in (*self.done, *self.cancelled))

    def is_later(self) -> bool:
        """Whether a job is due later."""
        return any(row.state == "delayed" for row in (*self.rows, *self.special))

    def may_expire(self) -> bool:
        """Whether a job expires."""
        rows = itertools.chain(self.rows, self.special, self.back)
        return any(row.expires_at is not None for row in rows)
