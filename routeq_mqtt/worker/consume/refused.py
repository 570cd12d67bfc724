"""Failed records of outcomes that the broker refuses, ever smaller until one fits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.record import FailedRecord
from routeq_mqtt.worker.execute.outcome import Again, Done

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routeq_mqtt.errors import PublishRefused
    from routeq_mqtt.worker.delivery import Delivery
    from routeq_mqtt.worker.execute.outcome import Outcome

_SHORT = 500
"""Characters of an error in a record that does not fit otherwise."""


def refused_record(
    held: Delivery, outcome: Outcome, error: PublishRefused, worker: str, now: float
) -> FailedRecord:
    """The failed record of a job whose outcome no place takes.

    Args:
        held: the job.
        outcome: of its run.
        error: why the broker refuses it.
        worker: that ran it.
        now: UTC epoch seconds.
    """
    reason = "it cannot travel"
    if isinstance(outcome, Done):
        reason = "its result cannot travel"
    elif isinstance(outcome, Again):
        reason = "its retry cannot travel"
    last = f" after {outcome.error}" if isinstance(outcome, Again) else ""
    return FailedRecord(
        id=held.job_id,
        queue=held.queue,
        job=held.envelope.job if held.envelope is not None else None,
        reason=reason,
        error=f"{error}{last}",
        attempts=list(outcome.envelope.errors) if isinstance(outcome, Again) else [],
        worker=worker,
        failed_at=now,
        envelope=held.payload,
    )


def ever_smaller(record: FailedRecord) -> Iterator[FailedRecord]:
    """The record; without the errors of its attempts; and with its envelope cut, too."""
    yield record
    short = replace(record, attempts=[], error=record.error[:_SHORT])
    if short != record:
        yield short
    envelope = _cut(record.envelope)
    if len(envelope) < len(record.envelope):
        note = f"its data were cut, {len(record.envelope)} bytes do not fit; {short.error}"
        yield replace(short, envelope=envelope, error=note)


def _cut(message: bytes) -> bytes:
    """An envelope without what the user put in it; of anything else, nothing."""
    try:
        envelope = Envelope.decode(message)
    except UnreadableMessage:
        return b""
    return envelope.evolve(data={}, headers={}, errors=[], extra={}).encode()
