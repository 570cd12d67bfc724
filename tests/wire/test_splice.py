"""A message that is marked as a row's without being packed anew says the same."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.splice import with_row
from routeq_mqtt.wire.packing import pack


def _anew(envelope: Envelope, queue: str, row: str) -> Envelope:
    kept = envelope.evolve(queue=queue, stored=True, row=row, delay=None, run_at=None)
    return Envelope.decode(kept.encode())


def _fields(rng: random.Random) -> dict[str, Any]:
    fields: dict[str, Any] = {"job": "J"}
    more: dict[str, Any] = {
        "id": "id-1", "queue": rng.choice(["q", "o"]), "data": {"a": [1, {"b": None}], "ü": b"x"},
        "attempt": 3, "deliveries": 2, "deaths": 1, "max_tries": 5, "timeout": 1.5, "v": 1,
        "backoff": [1, 2.5], "retry_after": None, "dispatched_at": 1.25, "expires_at": 9e9,
        "options": {"result_ttl": 5}, "headers": {"tenant": "t"}, "later": {"x": 1}, "errors": [],
        "stored": None, "row": None, "run_at": None,
    }  # fmt: skip
    for name in rng.sample(sorted(more), rng.randrange(len(more))):
        fields[name] = more[name]
    return fields


def test_it_says_what_packing_it_anew_says() -> None:
    rng = random.Random(18)  # noqa: S311 - repeatable
    spliced = 0
    for _ in range(3_000):
        fields = _fields(rng)
        payload = pack(fields)
        envelope = Envelope.decode(payload)
        marked = with_row(payload, envelope, "q", "token~key")
        if marked is not None:
            spliced += 1
            assert Envelope.decode(marked) == _anew(envelope, "q", "token~key")
            assert len(fields) <= 12
    assert spliced > 500


@pytest.mark.parametrize(
    "fields",
    [
        {"delay": 5.0},
        {"run_at": 5.0},
        {"stored": True},
        {"stored": False},
        {"row": "another"},
        {"errors": [{"error": "x"}]},
        {f"extra{number}": number for number in range(11)},
    ],
)
def test_what_has_other_fields_is_packed_anew(fields: dict[str, Any]) -> None:
    payload = pack({"job": "J", "id": "id-1", **fields})
    assert with_row(payload, Envelope.decode(payload), "q", "token") is None


def test_what_has_no_id_or_is_json_is_packed_anew() -> None:
    payload = pack({"job": "J"})
    assert with_row(payload, Envelope.decode(payload), "q", "token") is None
    payload = json.dumps({"job": "J", "id": "id-1"}).encode()
    assert with_row(payload, Envelope.decode(payload), "q", "token") is None


def test_of_two_fields_of_one_name_the_last_one_counts_before_and_after() -> None:
    twice = b"\x84" + b"".join(
        pack(part) for part in ("job", "A", "id", "1", "job", "B", "id", "2")
    )
    envelope = Envelope.decode(twice)
    marked = with_row(twice, envelope, "q", "token")
    assert marked is not None
    after = Envelope.decode(marked)
    assert (envelope.job, envelope.id) == (after.job, after.id) == ("B", "2")
    assert (after.row, after.stored, after.queue) == ("token", True, "q")
