"""A job that arrives: the row that it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.claims import special
from routeq_mqtt.scheduler.rows import NewRow
from routeq_mqtt.wire.options import needs_admission

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.calendar import SteadyClock
    from routeq_mqtt.scheduler.commit import Commit
    from routeq_mqtt.wire.envelope import Envelope

DEFAULT_QUEUE = "default"


def add_job(
    commit: Commit,
    envelope: Envelope,
    job_id: str,
    queue: str,
    clock: SteadyClock,
    *,
    durable: bool,
) -> None:
    """Add a job to a commit.

    One that needs a decision gets it once; its retries are rows like any other.

    Args:
        commit: that takes it in.
        envelope: as it came.
        job_id: its id, or the one that it gets now.
        queue: that it is for.
        clock: what a delay is counted by.
        durable: its producer asked for it to be stored.
    """
    if envelope.options and needs_admission(envelope.options):
        options = envelope.options | {"admitted": True}
        row = arrived_row(envelope.evolve(options=options), job_id, queue, clock, durable=True)
        commit.special.append(special(row, envelope, clock.now()))
    else:
        commit.rows.append(arrived_row(envelope, job_id, queue, clock, durable=durable))


def arrived_row(
    envelope: Envelope, job_id: str, queue: str, clock: SteadyClock, *, durable: bool
) -> NewRow:
    """The row of a job; see `add_job`."""
    now = clock.now()
    run_at = envelope.run_at
    delay = envelope.options.get("debounce_for", envelope.delay)
    if delay is not None:
        run_at = now + delay
    later = run_at is not None and run_at > now
    kept = envelope.evolve(id=job_id, queue=queue, stored=True, delay=None, run_at=None)
    return NewRow(
        id=job_id,
        queue=queue,
        attempt=envelope.attempt,
        deliveries=envelope.deliveries,
        state="delayed" if later else "parked",
        run_at=run_at if later and run_at is not None else now,
        era=None if delay is None else clock.era,
        durable=durable,
        expires_at=envelope.expires_at,
        envelope=kept.encode(),
    )
