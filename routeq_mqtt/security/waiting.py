"""Signed jobs that wait in a scheduler: their replay window counts from when it took them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.errors import RefusedJob, UnreadableMessage
from routeq_mqtt.security.sealing import SEALED
from routeq_mqtt.security.signing import SIGNED
from routeq_mqtt.wire.envelopes.envelope import Envelope

if TYPE_CHECKING:
    from routeq_mqtt.security.guard import Guard

_TAKEN = "taken_at"
"""Field of an envelope that is signed or sealed: when a scheduler took it in first."""


def stamped(envelope: Envelope, now: float, *, keep: bool) -> Envelope:
    """A job that says when it was taken in; `keep`: that it said so already counts."""
    if not needs_stamp(envelope) or (keep and _TAKEN in envelope.extra):
        return envelope
    return envelope.evolve(extra={**envelope.extra, _TAKEN: now})


def needs_stamp(envelope: Envelope) -> bool:
    """Whether it matters when a job was taken in."""
    extra = envelope.extra
    return bool(extra) and (SIGNED in extra or SEALED in extra)


def renewed(guard: Guard, payload: bytes, now: float) -> bytes:
    """The envelope of a row on its way out: signed again if its signature lapsed while it was here.

    Its replay window counts from when it was taken in. One that came too late stays as it was, and
    so does what cannot be read or signed here: refusing it is the worker's part.
    """
    if guard.signer is None or not (SIGNED.encode() in payload or SEALED.encode() in payload):
        return payload
    try:
        envelope = Envelope.decode(payload)
    except UnreadableMessage:
        return payload
    taken = envelope.extra.get(_TAKEN)
    if not isinstance(taken, int | float) or isinstance(taken, bool):
        return payload
    try:
        guard.admit(envelope, now)
    except RefusedJob:
        pass
    else:
        return payload
    try:
        guard.admit(envelope, taken)
    except RefusedJob:
        return payload
    return guard.renew(envelope, now).encode()
