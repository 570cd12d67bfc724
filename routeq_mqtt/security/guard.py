"""What a process does with its keys: dress jobs that go out, admit jobs that come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import RefusedJob
from routeq_mqtt.security.sealing import SEALED, Sealer, is_sealed_result, is_sealed_text
from routeq_mqtt.security.signing import SIGNED, Signer, read_unverified
from routeq_mqtt.wire.envelopes.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

_HIDDEN = "hidden: the job was sealed"


class Guard:
    """Signs and encrypts outgoing jobs, and checks incoming ones.

    Without keys it costs one look at `Envelope.extra`.

    Args:
        signer: signs and checks; None: no signing keys here.
        sealer: encrypts and decrypts; None: no encryption keys here.
    """

    def __init__(self, signer: Signer | None = None, sealer: Sealer | None = None) -> None:
        self.signer = signer
        self.sealer = sealer
        self.dresses: bool = signer is not None or sealer is not None
        self.strict: bool = signer is not None and signer.required

    def dress(self, envelope: Envelope, now: float) -> Envelope:
        """A job on its way out: signed, then sealed."""
        if self.signer is not None:
            envelope = self.signer.sign(envelope, now)
        if self.sealer is not None:
            envelope = self.sealer.seal(envelope)
        return envelope

    def admit(self, envelope: Envelope, now: float) -> Envelope:
        """A job that came in, opened and checked.

        Raises:
            RefusedJob: it must not run here; says why.
        """
        opened = self._opened(envelope)
        if self.signer is not None:
            return self.signer.check(opened, now)
        return read_unverified(opened) if SIGNED in opened.extra else opened

    def read(self, envelope: Envelope) -> Envelope:
        """What a job says, whether or not it may run.

        Raises:
            RefusedJob: it is sealed, and no key of ours opens it.
        """
        opened = self._opened(envelope)
        return read_unverified(opened) if SIGNED in opened.extra else opened

    def renew(self, envelope: Envelope, now: float, *, afresh: bool = False) -> Envelope:
        """A job that is run again after a long time: its good signature holds from now on.

        As it is where we have not the keys, or where its signature is not one of ours.
        """
        if self.signer is None:
            return envelope
        try:
            renewed = self.signer.renew(self._opened(envelope), now, afresh=afresh)
        except RefusedJob:
            return envelope
        if SEALED in envelope.extra and self.sealer is not None:
            return self.sealer.seal(renewed)
        return renewed

    def rename(self, envelope: Envelope, job_id: str, now: float) -> Envelope:
        """A job under another id, which a signature covers.

        Raises:
            RefusedJob: it is signed or sealed, and we have not the keys.
        """
        if SEALED not in envelope.extra and SIGNED not in envelope.extra:
            return envelope.evolve(id=job_id)
        if not self.dresses:
            raise RefusedJob("signed or sealed: there are no keys here to sign it again")
        return self.dress(self.admit(envelope, now).evolve(id=job_id), now)

    def run_again(self, envelope: Envelope, now: float) -> Envelope:
        """A failed job that somebody runs again: its good signature holds from now on.

        It no longer expires. Where we have not the keys to open or to sign it, it is as it was.

        Raises:
            RefusedJob: no process with our keys would run it; says why.
        """
        if self.signer is None or (SEALED in envelope.extra and self.sealer is None):
            return envelope
        opened = self._opened(envelope)
        if SIGNED not in opened.extra and not self.signer.required:
            return envelope
        renewed = self.signer.renew(opened, now, afresh=True)
        return renewed if opened is envelope or self.sealer is None else self.sealer.seal(renewed)

    def result(self, value: bytes, job_id: str, envelope: Envelope) -> bytes:
        """What a job returned, packed: sealed where the job came sealed."""
        if self.sealer is None or SEALED not in envelope.extra:
            return value
        return self.sealer.seal_result(value, job_id)

    def plain_result(self, value: bytes, job_id: str) -> bytes:
        """A result that `result` made, as it was.

        Raises:
            RefusedJob: it is sealed, and no key of ours opens it.
        """
        if not is_sealed_result(value):
            return value
        if self.sealer is None:
            raise RefusedJob("sealed: there is no encryption key here; set ROUTEQ_ENCRYPTION_KEYS")
        return self.sealer.open_result(value, job_id)

    def words(self, text: str, envelope: Envelope) -> str:
        """A text about a job that may quote its data: hidden where that data travels sealed."""
        if not envelope.extra or SEALED not in envelope.extra:
            return text
        return _HIDDEN if self.sealer is None else self.sealer.seal_text(text, envelope)

    def plain_words(self, text: str, envelope: Envelope) -> str:
        """A text that `words` made, as it was where we have the key, else as it is."""
        try:
            return text if self.sealer is None else self.sealer.open_text(text, envelope)
        except RefusedJob:
            return text

    def error(self, answer: Mapping[str, Any], job_id: str) -> str | None:
        """Why a job failed, of the scheduler's answer; hidden where no key of ours opens it."""
        text, job = answer.get("error"), answer.get("job")
        if not isinstance(text, str) or not isinstance(job, str) or not is_sealed_text(text):
            return text
        plain = self.plain_words(text, Envelope(id=job_id, job=job))
        return _HIDDEN if is_sealed_text(plain) else plain

    def _opened(self, envelope: Envelope) -> Envelope:
        if SEALED not in envelope.extra:
            return envelope
        if self.sealer is None:
            raise RefusedJob("sealed: there is no encryption key here; set ROUTEQ_ENCRYPTION_KEYS")
        return self.sealer.open(envelope)


OPEN = Guard()
"""The guard of a process without keys."""
