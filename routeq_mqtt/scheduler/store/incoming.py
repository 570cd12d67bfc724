"""A job that a worker's session held comes back: the row that it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.identity import from_worker
from routeq_mqtt.scheduler.store.rows import NewRow

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.store.tokens import Tokens
    from routeq_mqtt.wire.envelopes.envelope import Envelope


def returned_row(
    envelope: Envelope,
    job_id: str,
    queue: str,
    tokens: Tokens,
    *,
    now: float,
    died: bool = False,
) -> NewRow:
    """One delivery more, so that a row takes it once, however often it comes back.

    Args:
        envelope: as the worker was given it.
        job_id: its id, or the one that it gets now.
        queue: that it was held for.
        tokens: of the database that takes it in.
        now: UTC epoch seconds.
        died: its worker died while it ran: that costs an attempt.
    """
    key, proven, origin = from_worker(tokens, envelope, job_id, queue)
    back = envelope.evolve(
        id=job_id,
        queue=queue,
        stored=True,
        row=tokens.row(key, job_id),
        attempt=envelope.attempt + died,
        deaths=envelope.deaths + died,
        deliveries=envelope.deliveries + 1,
    )
    return NewRow(
        id=key,
        proven=proven,
        origin=origin,
        queue=queue,
        attempt=back.attempt,
        deliveries=back.deliveries,
        state="parked",
        run_at=now,
        durable=False,
        expires_at=back.expires_at,
        envelope=back.encode(),
        charged=died,
    )
