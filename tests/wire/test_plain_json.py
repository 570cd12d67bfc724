"""JSON of whatever travels: it can be written, and read by any reader of JSON."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from routeq_mqtt.wire.packing import pack, unpack
from routeq_mqtt.wire.plain_json import to_json
from tests.wire.values import values


def _strictly(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@given(values)
def test_whatever_travels_becomes_json(value: Any) -> None:
    _strictly(to_json(unpack(pack(value))))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        ({b"\xff": b"text"}, {"ff": "text"}),
        ({(1, (2,)): 1, True: 2, None: 3}, {"[1, [2]]": 1, "true": 2, "null": 3}),
        ({UUID(int=0): {date(2026, 1, 2)}}, {str(UUID(int=0)): ["2026-01-02"]}),
        ({1: "a", "1": "b"}, [[1, "a"], ["1", "b"]]),
        ("\ud800", "?"),
    ],
)
def test_a_value_as_json(value: object, shown: object) -> None:
    assert _strictly(to_json(value)) == shown


def test_a_number_that_python_does_not_print_is_hexadecimal() -> None:
    assert _strictly(to_json([1 << 20_000])) == [hex(1 << 20_000)]


def test_a_value_that_is_nested_deeply_ends_with_what_is_there() -> None:
    value: Any = "end"
    for _ in range(500):
        value = [value]
    assert "<list of 1>" in to_json(value)
