"""Whether what comes back from a worker may take the place of a signed row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.errors import RefusedJob, UnreadableMessage
from routeq_mqtt.security.sealing import SEALED
from routeq_mqtt.security.signing import SIGNED
from routeq_mqtt.wire.envelopes.envelope import Envelope

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context


async def may_replace(context: Context, key: str, envelope: Envelope) -> bool:
    """Whether a job that comes back bears a good signature, or is as the row has it.

    Without signing keys here nothing can be said, and it may.

    Args:
        context: what the roles share.
        key: of the row.
        envelope: that would take the place of the row's.
    """
    guard = context.guard
    if guard.signer is None or (SEALED in envelope.extra and guard.sealer is None):
        return True
    bears_one = SIGNED in envelope.extra or SEALED in envelope.extra
    try:
        guard.admit(envelope, context.clock.wall())
    except RefusedJob:
        bears_one = False
    return bears_one or await _is_as_it_was(context, key, envelope)


async def _is_as_it_was(context: Context, key: str, envelope: Envelope) -> bool:
    """Also with a signature that lapsed while the job waited: refusing it is the worker's part."""
    row = await context.store.get(key)
    if row is None:
        return True
    try:
        before = Envelope.decode(row.envelope).extra
    except UnreadableMessage:
        return True  # it is over
    if SIGNED not in before and SEALED not in before:
        return True
    return all(before.get(part) == envelope.extra.get(part) for part in (SIGNED, SEALED))
