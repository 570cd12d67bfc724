"""What the scheduler deals to one session: jobs, and behind them its questions what became of them.

Brokers may let messages of different topics overtake each other (NATS does): a question that did
not come on the topic of the jobs would be answered before they are there.
"""

from __future__ import annotations

from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.messages.census import CensusQuestion

_QUESTION = b"census:"
"""No envelope begins like this, in JSON or in msgpack."""


def encode_question(question: bytes) -> bytes:
    """An encoded question, as it is dealt."""
    return _QUESTION + question


def is_question(payload: bytes) -> bool:
    """Whether a dealt message begins as a question; others are jobs."""
    return payload.startswith(_QUESTION)


def decode_question(payload: bytes) -> CensusQuestion:
    """From a dealt message that begins as one.

    Raises:
        UnreadableMessage: it is invalid; says what is wrong.
    """
    return CensusQuestion.decode(payload[len(_QUESTION) :])


def decode_dealt(payload: bytes) -> Envelope | CensusQuestion:
    """What was dealt.

    Raises:
        UnreadableMessage: it is invalid; says what is wrong.
    """
    return decode_question(payload) if is_question(payload) else Envelope.decode(payload)
