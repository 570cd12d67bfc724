"""What the broker asks the code that knows what is inside a message."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Protocol

from routeq_broker.text import shown

log = logging.getLogger(__name__)

Retained = Callable[[str], bytes | None]
"""Reads the retained message of a topic."""


class RedeliveryPolicy(Protocol):
    """Knows the payloads; the broker does not."""

    def taken_in(self, payload: bytes) -> tuple[bytes, str | None]:
        """The payload to keep, once and for all, and a key; None: there is none.

        A key tells two copies of one message from two messages: a second copy that comes while
        the broker still holds the first is dropped. A message that has none may be given one,
        in the payload that is kept.
        """
        ...

    def answer(self, question: bytes, keys: Collection[str]) -> tuple[str, bytes] | None:
        """Topic and payload of the answer to who asks what the queues have; None: there is none.

        Args:
            question: as it was published.
            keys: of all messages that wait in a queue or are in a member's hands.
        """
        ...

    def returned(self, payload: bytes, client_id: str, retained: Retained) -> bytes:
        """The payload to give to the next member, after one that held it was lost."""
        ...


class PlainPolicy:
    """Knows nothing: nothing is dropped, nothing is rewritten."""

    def taken_in(self, payload: bytes) -> tuple[bytes, str | None]:
        """The payload as it is, without a key."""
        return payload, None

    def answer(self, question: bytes, keys: Collection[str]) -> tuple[str, bytes] | None:
        """No answer."""
        return None

    def returned(self, payload: bytes, client_id: str, retained: Retained) -> bytes:
        """The payload as it is."""
        return payload


class CarefulPolicy:
    """A policy whose errors cost nothing: a message that it cannot read is kept as it is.

    Args:
        policy: is asked.
    """

    def __init__(self, policy: RedeliveryPolicy) -> None:
        self._policy = policy

    def taken_in(self, payload: bytes) -> tuple[bytes, str | None]:
        """The policy's payload and key; as it is, and none, where the policy fails."""
        try:
            return self._policy.taken_in(payload)
        except Exception:
            log.exception("the policy cannot identify a message of %d bytes", len(payload))
            return payload, None

    def answer(self, question: bytes, keys: Collection[str]) -> tuple[str, bytes] | None:
        """The policy's answer; none where it fails."""
        try:
            return self._policy.answer(question, keys)
        except Exception:
            log.exception("the policy cannot answer a question of %d bytes", len(question))
            return None

    def returned(self, payload: bytes, client_id: str, retained: Retained) -> bytes:
        """The policy's payload; as it is where the policy fails."""
        try:
            return self._policy.returned(payload, client_id, retained)
        except Exception:
            log.exception("client=%s: the policy cannot rewrite what it held", shown(client_id))
            return payload
