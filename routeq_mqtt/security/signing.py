"""Signed jobs: who has no key cannot make one. `docs/wire-format.md` has it for other languages.

The signed bytes are themselves an envelope, and travel as they were signed, in
``signed: {key, body, mac}``. What is outside them may change on the way (attempt, deliveries, …);
what a job is and how it runs is read from inside.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import RefusedJob, UnreadableMessage
from routeq_mqtt.wire.envelopes.envelope import Envelope

if TYPE_CHECKING:
    from routeq_mqtt.security.keys import Keys

SIGNED = "signed"
_UNTIL = "until"
_DOMAIN = b"routeq-signed-1\n"
_COVERED = (
    "data", "max_tries", "timeout", "retry_after", "backoff", "dispatched_at", "expires_at",
    "headers",
)  # fmt: skip


class Signer:
    """Signs jobs and checks signatures.

    Args:
        keys: the first signs, all verify.
        window: seconds for which a signature holds, counted from when the job is due.
        required: refuse jobs without a signature.
    """

    def __init__(self, keys: Keys, *, window: float, required: bool = True) -> None:
        self._keys = keys
        self._window = window
        self.required = required

    def sign(self, envelope: Envelope, now: float) -> Envelope:
        """The envelope with its data inside a signature."""
        due = max(now + (envelope.delay or 0.0), envelope.run_at or 0.0)
        covered = {name: getattr(envelope, name) for name in _COVERED}
        inner = Envelope(
            id=envelope.id, job=envelope.job, **covered, extra={_UNTIL: due + self._window}
        )
        signed = self.sign_bytes(inner.encode(), _DOMAIN)
        return envelope.evolve(data={}, extra={**envelope.extra, SIGNED: signed})

    def sign_bytes(self, body: bytes, domain: bytes) -> dict[str, object]:
        """Bytes with the code that the newest key gives them: `key`, `body` and `mac`.

        Args:
            body: what is signed.
            domain: of what kind these bytes are: a signature counts for no other kind.
        """
        name = self._keys.newest
        return {"key": name, "body": body, "mac": _mac(self._keys.newest_key, name, body, domain)}

    def open_bytes(self, signed: object, domain: bytes) -> tuple[str, bytes]:
        """The name of the key, and the bytes, of what `sign_bytes` made here or elsewhere.

        Raises:
            RefusedJob: it is not signed with a key of ours, or was changed.
        """
        name, body, mac = _parts(signed)
        key = self._keys.get(name)
        if key is None:
            raise RefusedJob(f"signature: the key {str(name)[:40]!r} is not one of ours")
        if not hmac.compare_digest(_mac(key, str(name), body, domain), mac):
            raise RefusedJob("signature: it does not fit; what it signs was changed or forged")
        return str(name), body

    def renew(self, envelope: Envelope, now: float, *, afresh: bool = False) -> Envelope:
        """Sign again what bears a good signature, however old; `afresh`: it no longer expires.

        Raises:
            RefusedJob: its signature is not one of ours.
        """
        verified = self._verified(envelope)[0].evolve(delay=None, run_at=None)
        return self.sign(verified.evolve(expires_at=None) if afresh else verified, now)

    def check(self, envelope: Envelope, now: float) -> Envelope:
        """The job as it was signed.

        Raises:
            RefusedJob: it is not signed, with another key, changed on its way, or too old.
        """
        if SIGNED not in envelope.extra and not self.required:
            return envelope
        opened, until = self._verified(envelope)
        if until <= now:
            raise RefusedJob(
                f"signature: it held until {until}; a job that waits longer than the replay "
                "window (ROUTEQ_REPLAY_WINDOW) must be sent again"
            )
        return opened

    def _verified(self, envelope: Envelope) -> tuple[Envelope, float]:
        return _open(envelope, self.open_bytes(envelope.extra.get(SIGNED), _DOMAIN)[1])


def _mac(key: bytes, name: str, body: bytes, domain: bytes) -> bytes:
    return hmac.digest(key, domain + name.encode() + b"\n" + body, hashlib.sha256)


def read_unverified(envelope: Envelope) -> Envelope:
    """What a signed job says, for who has no key to check it."""
    return _open(envelope, _parts(envelope.extra.get(SIGNED))[1])[0]


def _parts(signed: Any) -> tuple[object, bytes, bytes]:  # noqa: ANN401 - whatever came
    """Key name, body and code; in JSON the body is a text and the code hexadecimal."""
    if signed is None:
        raise RefusedJob("signature: there is none, and this process has signing keys")
    try:
        name, body, mac = signed["key"], signed["body"], signed["mac"]
        body = body.encode() if isinstance(body, str) else body
        mac = bytes.fromhex(mac) if isinstance(mac, str) else mac
        if not (isinstance(body, bytes) and isinstance(mac, bytes)):
            raise TypeError
    except (KeyError, TypeError, ValueError, AttributeError, UnicodeEncodeError):
        raise RefusedJob("signature: `signed` must be a map of key, body and mac") from None
    return name, body, mac


def _open(envelope: Envelope, body: bytes) -> tuple[Envelope, float]:
    try:
        inner = Envelope.decode(body)
    except UnreadableMessage as error:
        raise RefusedJob(f"signature: the signed bytes are no envelope: {error}") from None
    if (inner.id, inner.job) != (envelope.id, envelope.job) or inner.id is None:
        raise RefusedJob("signature: `id` and `job` must be the same inside and outside of it")
    until = inner.extra.get(_UNTIL)
    if not isinstance(until, int | float):
        raise RefusedJob("signature: `until` must say how long it holds, UTC epoch seconds")
    extra = {name: part for name, part in envelope.extra.items() if name != SIGNED}
    covered = {name: getattr(inner, name) for name in _COVERED}
    return envelope.evolve(**covered, extra=extra), float(until)
