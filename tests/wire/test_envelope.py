"""The envelope: every field there and back, and whatever strangers send."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeq_mqtt.errors import UnreadableMessage, UnsupportedVersion
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.packing import pack
from tests.wire.values import envelopes, json_values, texts


@given(envelopes)
def test_an_envelope_survives(envelope: Envelope) -> None:
    assert Envelope.decode(envelope.encode()) == envelope


@given(st.binary(max_size=300))
def test_any_bytes_are_an_envelope_or_unreadable(payload: bytes) -> None:
    with contextlib.suppress(UnreadableMessage):
        Envelope.decode(payload).encode()


@given(envelopes, st.data())
def test_a_damaged_envelope_is_an_envelope_or_unreadable(
    envelope: Envelope, data: st.DataObject
) -> None:
    payload = bytearray(envelope.encode())
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(payload), bytes(payload[:at]), bytes(payload) + b"\x00"):
        try:
            Envelope.decode(damaged).encode()
        except UnreadableMessage:
            continue


@given(st.dictionaries(st.sampled_from([*Envelope.__dataclass_fields__]) | texts, json_values))
def test_any_json_object_is_an_envelope_or_unreadable(raw: dict[str, Any]) -> None:
    try:
        envelope = Envelope.decode(json.dumps(raw).encode())
    except UnreadableMessage:
        return
    assert Envelope.decode(envelope.encode()) == envelope


@given(st.dictionaries(st.sampled_from([*Envelope.__dataclass_fields__]), json_values))
def test_any_value_in_any_field_is_taken_or_refused_by_the_fields_name(raw: dict[str, Any]) -> None:
    payload = pack({"job": "J", **raw})
    refusal = ""
    try:
        Envelope.decode(payload)
    except UnreadableMessage as error:
        refusal = str(error)
    assert not refusal or any(field in refusal for field in raw)


def test_what_a_device_sends_is_enough() -> None:
    envelope = Envelope.decode(b' \n{"job": "send_email", "data": {"to": "a@b.c"}}')
    assert envelope == Envelope(job="send_email", data={"to": "a@b.c"})
    assert (envelope.id, envelope.attempt, envelope.max_tries) == (None, 1, None)


def test_fields_that_say_nothing_new_do_not_travel() -> None:
    assert msgpack.unpackb(Envelope(job="J").encode()) == {"job": "J"}


def test_unknown_fields_are_kept() -> None:
    envelope = Envelope.decode(msgpack.packb({"job": "J", "colour": [1, "red"]}))
    again = Envelope.decode(envelope.evolve(attempt=2).encode())
    assert again.extra == {"colour": [1, "red"]}
    assert again.attempt == 2


@pytest.mark.parametrize("field", [*Envelope.__dataclass_fields__])
def test_null_means_absent(field: str) -> None:
    raw = {"job": "J", field: None}
    if field == "job":
        with pytest.raises(UnreadableMessage, match="the field `job` is missing"):
            Envelope.decode(json.dumps(raw).encode())
    else:
        assert Envelope.decode(json.dumps(raw).encode()).evolve(extra={}) == Envelope(job="J")


def test_a_later_version_is_refused_apart() -> None:
    with pytest.raises(UnsupportedVersion, match="version 2; this library knows 1: upgrade"):
        Envelope.decode(b'{"v": 2, "job": "J"}')


@pytest.mark.parametrize(
    ("field", "value", "needed"),
    [
        ("v", 0, "a whole number, 1 or more"),
        ("v", True, "a whole number, 1 or more"),
        ("id", "", "a printable text of 1 to 200 characters"),
        ("id", "two\nlines", "a printable text"),
        ("job", 7, "a printable text"),
        ("data", [], "a map with texts as keys"),
        ("queue", "a/b", "must not contain '/'"),
        ("queue", "", "must be a non-empty string"),
        ("attempt", 0, "a whole number, 1 or more"),
        ("attempt", 1.0, "a whole number, 1 or more"),
        ("deliveries", True, "a whole number, 1 or more"),
        ("deaths", -1, "a whole number, 0 or more"),
        ("max_tries", 0, "a whole number, 1 or more"),
        ("timeout", -1, "a number of seconds, 0 or more"),
        ("retry_after", "5", "a number of seconds, 0 or more"),
        ("backoff", [], "a list of 1 to 1000 numbers of seconds"),
        ("backoff", [1, "2"], "a number of seconds, 0 or more"),
        ("delay", 1e300, "a number of seconds, 0 or more"),
        ("run_at", "now", "UTC epoch seconds"),
        ("expires_at", True, "UTC epoch seconds"),
        ("stored", 1, "true or false"),
        ("headers", "x", "a map with texts as keys"),
        ("errors", [{"a": []}], "a number or a text"),
    ],
)
def test_a_wrong_value_is_refused_with_field_value_and_need(
    field: str, value: Any, needed: str
) -> None:
    raw = {"job": "J", field: value}
    for payload in (json.dumps(raw).encode(), msgpack.packb(raw)):
        with pytest.raises(UnreadableMessage) as caught:
            Envelope.decode(payload)
        assert str(caught.value).startswith(field)
        assert needed in str(caught.value)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"job": NaN}',
        b'{"job": "J", "data": {"x": Infinity}}',
        b'{"job": "J"',
        b'{"job": "J"} more',
        b'{"job": "J", "data": {"x": "\\ud800"}}',
        b'{"job": "\xff"}',
        b'{"a":' * 100_000,
        b'{"job": ' + b"9" * 5_000 + b"}",
    ],
)
def test_json_that_is_none_is_unreadable(payload: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        Envelope.decode(payload)


def test_errors_are_bounded_when_encoded() -> None:
    errors = [{"attempt": n, "traceback": "x" * 10_000 + str(n)} for n in range(1, 51)]
    kept = Envelope.decode(Envelope(job="J", errors=errors).encode()).errors
    assert [error["attempt"] for error in kept] == [1, *range(32, 51)]
    assert all(len(error["traceback"]) == 4_000 for error in kept)
    assert kept[-1]["traceback"].endswith("50")


def test_evolve_names_a_field_that_is_none() -> None:
    with pytest.raises(TypeError, match="an envelope has no field priority"):
        Envelope(job="J").evolve(priority=1)


@pytest.mark.parametrize("secret", ["hunter2" * 200])
def test_an_error_shows_a_long_value_in_short(secret: str) -> None:
    with pytest.raises(UnreadableMessage) as caught:
        Envelope.decode(msgpack.packb({"job": "J", "id": secret}))
    assert len(str(caught.value)) < 200
