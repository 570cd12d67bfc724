"""Failed records on their way into the store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage, UnsupportedVersion
from routeq_mqtt.scheduler.store.identity import content_of
from routeq_mqtt.scheduler.store.rows import NewFailed
from routeq_mqtt.wire.display import moment
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.record import REFUSED, FailedRecord

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.store.rows import NewRow, Row
    from routeq_mqtt.scheduler.store.tokens import Tokens

_LONGEST_EXCEPTION = 200


INTERNAL_ERROR = "internal error"
"""Why a message was not taken in that the scheduler should have been able to read and store."""

_LONGEST_ID = 180


def new_failed(record: FailedRecord, tokens: Tokens | None = None) -> NewFailed:
    """A failed record as the store takes it.

    Args:
        record: as it came.
        tokens: what the message's own token is checked with; None: of the scheduler itself.
    """
    envelope = _readable(record.envelope)
    proven = tokens is not None and envelope is not None and tokens.fits(record.id, envelope.row)
    return _new_failed(record, envelope, proven=proven)


def _readable(payload: bytes) -> Envelope | None:
    """None: it cannot be read; a database may be older than a check, or damaged."""
    try:
        return Envelope.decode(payload)
    except UnreadableMessage:
        return None


def _new_failed(record: FailedRecord, envelope: Envelope | None, *, proven: bool) -> NewFailed:
    return NewFailed(
        proven=proven,
        content=_content(record, envelope),
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
        exception=_exception(record, envelope),
    )


def _exception(record: FailedRecord, envelope: Envelope | None) -> str:
    """What the attempt raised that the record is of; what earlier ones raised is no reason."""
    last = record.attempts[-1] if record.attempts else {}
    if envelope is None or last.get("attempt") != envelope.attempt:
        return ""
    return str(last.get("type") or "")[:_LONGEST_EXCEPTION]


def _content(record: FailedRecord, envelope: Envelope | None) -> bytes:
    if envelope is None:
        return hashlib.blake2b(record.envelope, digest_size=16).digest()
    return content_of(envelope, envelope.id or record.id, record.queue)


def expired(row: Row, now: float) -> NewFailed:
    """The failed record of a job that no worker took in time."""
    envelope = _readable(row.envelope)
    record = FailedRecord(
        id=row.id,
        queue=row.queue,
        job=None if envelope is None else envelope.job,
        reason="expired",
        error=f"expired at {moment(row.expires_at)}, before a worker took it",
        attempts=[] if envelope is None else list(envelope.errors),
        worker=None,
        failed_at=now,
        envelope=row.envelope,
    )
    return _new_failed(record, envelope, proven=True)


def too_large(row: Row, now: float) -> NewFailed:
    """The failed record of a job that is larger than the broker takes."""
    envelope = Envelope.decode(row.envelope)
    record = FailedRecord(
        id=row.id,
        queue=row.queue,
        job=envelope.job,
        reason="it cannot travel",
        error=f"its {len(row.envelope)} bytes are more than the broker takes (reason 0x95); raise "
        "the broker's limit (mosquitto: max_packet_size), then retry it",
        attempts=list(envelope.errors),
        worker=None,
        failed_at=now,
        envelope=row.envelope,
    )
    return _new_failed(record, envelope, proven=True)


_LONGEST_ERROR = 1_000


def refused_row(row: NewRow, error: Exception | str, now: float) -> NewFailed:
    """The failed record, under an id of its own, of a job that is not taken in; a text says why."""
    envelope = _readable(row.envelope)
    return new_failed(
        FailedRecord(
            id=f"{row.id[:_LONGEST_ID]}-refused",
            queue=row.queue,
            job=None if envelope is None else envelope.job,
            reason=REFUSED if isinstance(error, str) else INTERNAL_ERROR,
            error=(error if isinstance(error, str) else f"it cannot be stored: {error!r}")[
                :_LONGEST_ERROR
            ],
            attempts=[],
            worker=None,
            failed_at=now,
            envelope=row.envelope,
        )
    )


def unreadable(
    message: bytes, record_id: str, queue: str, error: Exception, now: float
) -> NewFailed:
    """The failed record, under an id of its own, of an unreadable message."""
    reason = "unsupported version" if isinstance(error, UnsupportedVersion) else "unreadable"
    if not isinstance(error, UnreadableMessage):
        reason = INTERNAL_ERROR
    return new_failed(
        FailedRecord(
            id=record_id,
            queue=queue,
            job=None,
            reason=reason,
            error=(str(error) if reason != INTERNAL_ERROR else repr(error))[:_LONGEST_ERROR],
            attempts=[],
            worker=None,
            failed_at=now,
            envelope=message,
        )
    )
