"""A row of the database as an operator sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.record import FailedRecord
from routeq_mqtt.wire.observe.answers import JobRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.wire.observe.held import HeldAnswer

LARGEST_DATA = 4_096
"""Bytes of a message whose data are shown in a list."""


def read_envelope(payload: Any) -> Envelope | None:  # noqa: ANN401 - whatever a column holds
    """None: there is none, or it is unreadable."""
    if type(payload) is not bytes or not payload:
        return None
    try:
        return Envelope.decode(payload)
    except UnreadableMessage:
        return None


def is_sealed(envelope: Envelope) -> bool:
    """Whether its data are encrypted."""
    return "sealed" in envelope.extra


def job_row(columns: Sequence[Any], envelope: Envelope | None, *, with_data: bool) -> JobRow:
    """Of the columns `sql.observe` selects of `jobs`."""
    job_id, queue, state, attempt, run_at, done_at, expires_at, outcome, batch, chain, step = (
        columns[:11]
    )
    over = state == "done"
    size = len(columns[11] or b"")
    return JobRow(
        id=job_id,
        queue=queue,
        state=(outcome or "done") if over else state,
        attempt=attempt,
        at=_time((done_at if over else run_at) or 0.0),
        expires_at=expires_at,
        batch=batch,
        chain=chain,
        step=step,
        size=size,
        **_of_envelope(envelope, size, with_data=with_data),
    )


def failed_row(columns: Sequence[Any], envelope: Envelope | None, *, with_data: bool) -> JobRow:
    """Of the columns `sql.observe` selects of `failed`."""
    job_id, queue, job, reason, error, worker, failed_at, record = columns[:8]
    shown = _of_envelope(envelope, len(record), with_data=with_data) | {"job": job}
    return JobRow(
        id=job_id,
        queue=queue,
        state="failed",
        attempt=1 if envelope is None else envelope.attempt,
        at=_time(failed_at),
        reason=reason,
        error=error,
        worker=worker,
        size=len(record),
        **shown,
    )


def message_row(answer: HeldAnswer, envelope: Envelope | None) -> JobRow:
    """Of a message that a worker holds, and no database."""
    size = len(answer.message)
    return JobRow(
        id=answer.job,
        queue=answer.queue,
        state="running" if answer.running else "waiting",
        attempt=1 if envelope is None else envelope.attempt,
        at=_time(None if envelope is None else envelope.dispatched_at),
        worker=answer.worker,
        size=size,
        **_of_envelope(envelope, size, with_data=True),
    )


def envelope_of_record(record: Any) -> Envelope | None:  # noqa: ANN401 - whatever a column holds
    """The message of a failed record; None: it is unreadable."""
    try:
        return read_envelope(FailedRecord.decode(record).envelope)
    except (UnreadableMessage, TypeError):
        return None


def _of_envelope(envelope: Envelope | None, size: int, *, with_data: bool) -> dict[str, Any]:
    if envelope is None:
        return {}
    sealed = is_sealed(envelope)
    shown = with_data and not sealed and size <= LARGEST_DATA
    return {
        "job": envelope.job,
        "dispatched_at": envelope.dispatched_at,
        "sealed": sealed,
        "data": envelope.data if shown else None,
    }


def _time(value: Any) -> float:  # noqa: ANN401 - whatever a column holds
    return float(value) if isinstance(value, int | float) else 0.0
