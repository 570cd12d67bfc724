"""A job that arrives: the row that it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.features.uniqueness import special
from routeq_mqtt.scheduler.store.identity import Identity
from routeq_mqtt.scheduler.store.rows import NewRow
from routeq_mqtt.security.waiting import needs_stamp, stamped
from routeq_mqtt.wire.envelopes.options import needs_admission, undecided
from routeq_mqtt.wire.envelopes.splice import with_row

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.clock import StableClock
    from routeq_mqtt.scheduler.intake.commit import Commit
    from routeq_mqtt.scheduler.store.tokens import Tokens
    from routeq_mqtt.wire.envelopes.envelope import Envelope

DEFAULT_QUEUE = "default"


def add_job(
    commit: Commit,
    envelope: Envelope,
    job_id: str,
    queue: str,
    clock: StableClock,
    tokens: Tokens,
    *,
    durable: bool,
    identity: Identity | None = None,
    payload: bytes | None = None,
) -> None:
    """Add a job to a commit.

    One that needs a decision gets it once; its retries are rows like any other.

    Args:
        commit: that takes it in.
        envelope: as it came.
        job_id: its id, or the one that it gets now.
        queue: that it is for.
        clock: what a delay is counted by.
        tokens: of the database that takes it in.
        durable: its producer asked for it to be stored.
        identity: what a worker proved; None: it comes from its producer.
        payload: the message that `envelope` was read from.
    """
    as_it_came = envelope
    identity = identity or Identity(job_id, proven=False, origin=None)
    if not identity.proven and "admitted" in envelope.options:
        envelope = envelope.evolve(options=undecided(envelope.options))
    if envelope.options and needs_admission(envelope.options):
        options = tokens.admitted(envelope.options, job_id, queue)
        admitted = envelope.evolve(id=job_id, options=options)
        row = arrived_row(admitted, identity, queue, clock, tokens, durable=True)
        commit.special.append(special(row, envelope, clock.now()))
    else:
        named = envelope if envelope.id == job_id else envelope.evolve(id=job_id)
        if named.options.get("admitted"):  # by a version that marked none, or another key
            named = named.evolve(options=tokens.admitted(named.options, job_id, queue))
        same = payload if named is as_it_came else None
        row = arrived_row(named, identity, queue, clock, tokens, durable=durable, payload=same)
        commit.rows.append(row)


def arrived_row(
    envelope: Envelope,
    identity: Identity,
    queue: str,
    clock: StableClock,
    tokens: Tokens,
    *,
    durable: bool,
    payload: bytes | None = None,
) -> NewRow:
    """The row of a job that has its id; see `add_job`."""
    now = clock.now()
    run_at = envelope.run_at
    delay = envelope.options.get("debounce_for", envelope.delay)
    if delay is not None:
        run_at = now + delay
    later = run_at is not None and run_at > now
    token = tokens.row(identity.key, envelope.id or identity.key)
    signed = needs_stamp(envelope)
    packed = None
    if payload is not None and not later and not signed:
        packed = with_row(payload, envelope, queue, token)
    if packed is None:
        kept = envelope.evolve(queue=queue, stored=True, row=token, delay=None, run_at=None)
        if signed:
            kept = stamped(kept, clock.wall(), keep=identity.proven)
        if later and envelope.attempt == 1:
            # From then on it waits: statistics leave out what its producer asked for.
            kept = kept.evolve(options=kept.options | {"due": run_at})
        packed = kept.encode()
    return NewRow(
        id=identity.key,
        proven=identity.proven,
        origin=identity.origin,
        queue=queue,
        attempt=envelope.attempt,
        deliveries=envelope.deliveries,
        state="delayed" if later else "parked",
        run_at=run_at if later and run_at is not None else now,
        era=None if delay is None else clock.era,
        durable=durable,
        expires_at=envelope.expires_at,
        envelope=packed,
    )
