"""Encrypted data: AES-256-GCM. The one home of `cryptography` (the extra `crypto`)."""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError, RefusedJob, UnreadableMessage
from routeq_mqtt.imports import first_import
from routeq_mqtt.wire.packing import pack, unpack

if TYPE_CHECKING:
    from routeq_mqtt.security.keys import Keys
    from routeq_mqtt.wire.envelopes.envelope import Envelope

SEALED = "sealed"
_NONCE = 12
_TEXT = "sealed:"
_RESULT = b"\xc1"
"""What a sealed result begins with: no msgpack value does (msgpack specification, "never used")."""


class Sealer:
    """Encrypts and decrypts; each box belongs to one job, by its id and name.

    Args:
        keys: the first encrypts, all decrypt.

    Raises:
        ConfigurationError: `cryptography` is not installed.
    """

    def __init__(self, keys: Keys) -> None:
        try:
            with first_import():
                from cryptography.exceptions import InvalidTag
                from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise ConfigurationError(
                "ROUTEQ_ENCRYPTION_KEYS is set, and encryption is not installed; "
                "pip install 'routeq-mqtt[crypto]'"
            ) from None
        self._keys = keys
        self._cipher = AESGCM
        self._invalid = InvalidTag

    def seal(self, envelope: Envelope) -> Envelope:
        """The envelope with its data, and a signature that it bears, in a box."""
        inner = {"data": envelope.data, "extra": envelope.extra}
        box = self._encrypt(pack(inner), _belongs_to(envelope))
        return envelope.evolve(data={}, extra={SEALED: {"key": self._keys.newest, "box": box}})

    def open(self, envelope: Envelope) -> Envelope:
        """The envelope with its data.

        Raises:
            RefusedJob: no key of ours opens it.
        """
        sealed: Any = envelope.extra[SEALED]
        try:
            name, box = sealed["key"], sealed["box"]
            if not isinstance(box, bytes):
                raise TypeError
            inner: Any = unpack(self._decrypt(name, box, _belongs_to(envelope)))
            return envelope.evolve(data=dict(inner["data"]), extra=dict(inner["extra"]))
        except RefusedJob:
            raise
        except (KeyError, TypeError, ValueError, UnreadableMessage):
            raise RefusedJob("sealed: `sealed` must be a map of key and box") from None

    def seal_text(self, text: str, envelope: Envelope) -> str:
        """A text about a job, which may quote its data, as ``sealed:<key>:<base64>``."""
        box = self._encrypt(text.encode(errors="replace"), _belongs_to(envelope))
        return f"{_TEXT}{self._keys.newest}:{base64.b64encode(box).decode()}"

    def open_text(self, text: str, envelope: Envelope) -> str:
        """A text that `seal_text` made, as it was; any other as it is.

        Raises:
            RefusedJob: no key of ours opens it.
        """
        if not text.startswith(_TEXT):
            return text
        name, _, box = text.removeprefix(_TEXT).partition(":")
        try:
            raw = base64.b64decode(box, validate=True)
        except (binascii.Error, ValueError):
            return text
        return self._decrypt(name, raw, _belongs_to(envelope)).decode()

    def seal_result(self, value: bytes, job_id: str) -> bytes:
        """What a job returned, packed, as ``C1`` and a packed map of key and box."""
        box = self._encrypt(value, _result_of(job_id))
        return _RESULT + pack({"key": self._keys.newest, "box": box})

    def open_result(self, value: bytes, job_id: str) -> bytes:
        """A result that `seal_result` made, as it was.

        Raises:
            RefusedJob: no key of ours opens it.
        """
        try:
            sealed: Any = unpack(value[len(_RESULT) :])
            name, box = sealed["key"], sealed["box"]
            return self._decrypt(name, bytes(box), _result_of(job_id))
        except (KeyError, TypeError, ValueError, UnreadableMessage) as error:
            if isinstance(error, RefusedJob):
                raise
            raise RefusedJob("sealed: a sealed result must be a map of key and box") from None

    def _encrypt(self, data: bytes, belongs_to: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher(self._keys.newest_key).encrypt(nonce, data, belongs_to)

    def _decrypt(self, name: object, box: bytes, belongs_to: bytes) -> bytes:
        key = self._keys.get(name)
        if key is None:
            raise RefusedJob(f"sealed: the key {str(name)[:40]!r} is not one of ours")
        try:
            return self._cipher(key).decrypt(box[:_NONCE], box[_NONCE:], belongs_to)
        except (self._invalid, ValueError):
            raise RefusedJob("sealed: its box was changed, or belongs to another job") from None


def is_sealed_text(text: str) -> bool:
    """Whether a text is one that `Sealer.seal_text` made."""
    return text.startswith(_TEXT)


def is_sealed_result(value: bytes) -> bool:
    """Whether a packed result is one that `Sealer.seal_result` made."""
    return value.startswith(_RESULT)


def _result_of(job_id: str) -> bytes:
    return f"routeq-result-1\n{job_id}".encode()


def _belongs_to(envelope: Envelope) -> bytes:
    return f"routeq-sealed-1\n{envelope.id}\n{envelope.job}".encode()
