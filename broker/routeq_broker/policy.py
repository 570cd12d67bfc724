"""What the broker asks of whoever knows what is inside a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Retained = Callable[[str], bytes | None]
"""Reads the retained message of a topic."""


class RedeliveryPolicy(Protocol):
    """Knows the payloads; the broker does not."""

    def identify(self, payload: bytes) -> str | None:
        """A key that tells two copies of one message from two messages; None: there is none.

        A second copy that comes while the broker still holds the first is dropped.
        """
        ...

    def returned(self, payload: bytes, client_id: str, retained: Retained) -> bytes:
        """The payload to give to the next member, after one that held it was lost."""
        ...


class PlainPolicy:
    """Knows nothing: nothing is dropped, nothing is rewritten."""

    def identify(self, payload: bytes) -> str | None:
        """No key."""
        return None

    def returned(self, payload: bytes, client_id: str, retained: Retained) -> bytes:
        """The payload as it is."""
        return payload
