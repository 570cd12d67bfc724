"""A lost worker whose report cannot be read: its jobs are given to others all the same."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from routeq_broker.policy import CarefulPolicy, Retained
from routeq_mqtt.embedded import EnvelopePolicy
from routeq_mqtt.topics import Topics
from routeq_mqtt.wire.envelopes.envelope import Envelope

JOB = Envelope(id="a", job="Report")


@pytest.mark.parametrize(
    "said",
    [b"", b"x", b"[]", b'{"running": [1]}', b'{"running": 5}', b'{"running": {"a": "x"}}',
     b'{"running": {"a": 18446744073709551615}}', b"\xff", b'{"running": {"a": NaN}}'],
)  # fmt: skip
def test_an_unreadable_load_charges_nothing(said: bytes) -> None:
    policy = EnvelopePolicy(Topics())
    back = Envelope.decode(policy.returned(JOB.encode(), "w/q", {"routeq/running/w": said}.get))
    assert (back.attempt, back.deaths, back.deliveries) == (1, 0, 2)


def test_a_readable_load_charges_what_ran() -> None:
    policy = EnvelopePolicy(Topics())
    retained = {"routeq/running/w": b'{"running": {"a": 1}}'}.get
    back = Envelope.decode(policy.returned(JOB.encode(), "w/q", retained))
    assert (back.attempt, back.deaths, back.deliveries) == (2, 1, 2)


def test_a_policy_that_fails_costs_no_message() -> None:
    class Failing:
        def taken_in(self, payload: bytes) -> tuple[bytes, str | None]:
            raise MemoryError

        def answer(self, question: bytes, keys: Collection[str]) -> tuple[str, bytes] | None:
            raise ZeroDivisionError

        def returned(self, payload: bytes, client_id: str, retained: Retained) -> bytes:
            raise ZeroDivisionError

    careful = CarefulPolicy(Failing())
    assert careful.taken_in(b"x") == (b"x", None)
    assert careful.answer(b"x", []) is None
    assert careful.returned(b"x", "w/q", lambda topic: None) == b"x"
