"""Failed records on their way into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.scheduler.rows import NewFailed
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.record import FailedRecord

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.rows import Row


def new_failed(record: FailedRecord) -> NewFailed:
    """A failed record as the store takes it."""
    attempt, deliveries = _counted(record.envelope)
    return NewFailed(
        id=record.id,
        queue=record.queue,
        job=record.job,
        reason=record.reason,
        error=record.error,
        worker=record.worker,
        failed_at=record.failed_at,
        record=record.encode(),
        attempt=attempt,
        deliveries=deliveries,
    )


def _counted(message: bytes) -> tuple[int | None, int | None]:
    try:
        envelope = Envelope.decode(message)
    except UnreadableMessage:
        return None, None
    return envelope.attempt, envelope.deliveries


def expired(row: Row, now: float) -> NewFailed:
    """The failed record of a job that no worker took in time."""
    envelope = Envelope.decode(row.envelope)
    return new_failed(
        FailedRecord(
            id=row.id,
            queue=row.queue,
            job=envelope.job,
            reason="expired",
            error=f"its expires_at {row.expires_at} passed before a worker took it",
            attempts=list(envelope.errors),
            worker=None,
            failed_at=now,
            envelope=row.envelope,
        )
    )
