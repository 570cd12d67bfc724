"""Tokens prove that a message came from a row; only the scheduler of that database makes them."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from routeq_mqtt.wire import admission
from routeq_mqtt.wire.envelopes.rows import row_text, token_of
from routeq_mqtt.wire.packing import pack

_LONGEST_ID = 180


class Tokens:
    """Makes tokens and checks them.

    Args:
        secret: of the database; who has it can speak for every row.

    Attributes:
        admission_key: what jobs are marked with that this scheduler has decided on.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.admission_key: bytes = admission.key_of(secret)

    def of(self, key: str) -> str:
        """The token of a row."""
        return self._digest(key.encode())

    def fits(self, key: str, row: str | None) -> bool:
        """Whether the field `row` of an envelope proves that it came from this row."""
        return row is not None and hmac.compare_digest(
            token_of(row).encode(), self.of(key).encode()
        )

    def row(self, key: str, job_id: str) -> str:
        """The field `row` of what is published from a row."""
        return row_text(self.of(key), key, job_id)

    def admitted(self, options: dict[str, Any], job_id: str, queue: str) -> dict[str, Any]:
        """The options of a job that the scheduler has decided on, marked for workers."""
        made = admission.mark(self.admission_key, job_id, queue)
        return options | {"admitted": True, admission.MARK: made}

    def other_key(self, job_id: str, queue: str, origin: bytes | None) -> str:
        """The key of a job whose id is another's: always the same one, and not to be guessed."""
        return f"{job_id[:_LONGEST_ID]}~{self._digest(pack([job_id, queue, origin]))}"

    def _digest(self, text: bytes) -> str:
        return hashlib.blake2b(text, key=self._secret, digest_size=8).hexdigest()
