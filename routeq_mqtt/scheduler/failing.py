"""Failed records on their way into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage, UnsupportedVersion
from routeq_mqtt.scheduler.rows import NewFailed
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.record import FailedRecord

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.rows import Row


def new_failed(record: FailedRecord) -> NewFailed:
    """A failed record as the store takes it."""
    try:
        envelope = Envelope.decode(record.envelope)
    except UnreadableMessage:
        envelope = None
    return _new_failed(record, envelope)


def _new_failed(record: FailedRecord, envelope: Envelope | None) -> NewFailed:
    return NewFailed(
        id=record.id,
        queue=record.queue,
        job=record.job,
        reason=record.reason,
        error=record.error,
        worker=record.worker,
        failed_at=record.failed_at,
        record=record.encode(),
        attempt=None if envelope is None else envelope.attempt,
        deliveries=None if envelope is None else envelope.deliveries,
    )


def expired(row: Row, now: float) -> NewFailed:
    """The failed record of a job that no worker took in time."""
    envelope = Envelope.decode(row.envelope)
    record = FailedRecord(
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
    return _new_failed(record, envelope)


def unreadable(message: bytes, queue: str, error: UnreadableMessage, now: float) -> NewFailed:
    """The failed record, under an id of its own, of a message that nobody can read."""
    version = isinstance(error, UnsupportedVersion)
    return new_failed(
        FailedRecord(
            id=new_id(),
            queue=queue,
            job=None,
            reason="unsupported version" if version else "unreadable",
            error=str(error),
            attempts=[],
            worker=None,
            failed_at=now,
            envelope=message,
        )
    )
