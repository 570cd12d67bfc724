"""Failed records on their way into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.rows import NewFailed

if TYPE_CHECKING:
    from routeq_mqtt.wire.record import FailedRecord


def new_failed(record: FailedRecord) -> NewFailed:
    """A failed record as the store takes it."""
    return NewFailed(
        id=record.id,
        queue=record.queue,
        job=record.job,
        reason=record.reason,
        error=record.error,
        worker=record.worker,
        failed_at=record.failed_at,
        record=record.encode(),
    )
