"""Values survive the trip, and bytes of strangers do no harm."""

from __future__ import annotations

import contextlib
import enum
from collections import OrderedDict, namedtuple
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeq_mqtt.errors import PackingError, UnreadableMessage
from routeq_mqtt.wire.packing import pack, unpack
from tests.wire.values import values

Point = namedtuple("Point", "x y")


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


def types_of(value: Any) -> Any:
    """The types of a value and of all that is in it."""
    if isinstance(value, dict):
        return dict, [(types_of(key), types_of(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [types_of(part) for part in value]
    return type(value)


@given(values)
def test_every_value_survives_with_its_type(value: Any) -> None:
    back = unpack(pack(value))
    assert back == value
    assert types_of(back) == types_of(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    try:
        value = unpack(payload)
    except UnreadableMessage:
        return
    pack(value)  # what was read can be sent on


@given(values, st.data())
def test_a_packed_value_that_was_damaged_is_read_or_refused(
    value: Any, data: st.DataObject
) -> None:
    payload = bytearray(pack(value))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(payload), bytes(payload[:at])):
        try:
            pack(unpack(damaged))
        except UnreadableMessage:
            continue


@given(st.integers(-128, 127), st.binary(max_size=60))
def test_any_extension_type_is_read_or_refused(kind: int, content: bytes) -> None:
    payload = msgpack.packb({"x": [msgpack.ExtType(kind & 0x7F, content)]})
    with contextlib.suppress(UnreadableMessage):
        pack(unpack(payload))


@pytest.mark.parametrize(
    ("value", "simple"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (OrderedDict(a=1), {"a": 1}),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        (Point(1, 2), (1, 2)),
        (2**64, 2**64),
        (-(2**63) - 1, -(2**63) - 1),
    ],
)
def test_values_of_kin_types_arrive_as_the_type_itself(value: Any, simple: Any) -> None:
    back = unpack(pack([value]))[0]
    assert back == simple
    assert type(back) is type(simple)


def test_a_time_zone_arrives_as_its_offset() -> None:
    summer = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    back = unpack(pack(summer))
    assert back == summer
    assert back.utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-0", "1E+30", "0.10"])
def test_decimals_keep_their_digits(text: str) -> None:
    assert str(unpack(pack(Decimal(text)))) == text


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"data": {"files": [1, 2, {"socket": object()}]}}, r"data\.files\[2\]\.socket: object"),
        ({"data": {"f": print}}, r"data\.f: builtin_function_or_method objects cannot travel"),
        ({"data": {(1, object()): 1}}, r"data, a key\[1\]: object objects cannot travel"),
        ({"data": {"t": "\ud800"}}, r"data\.t: '\\ud800' is not valid Unicode"),
        ({"x": 1j}, r"x: complex objects cannot travel; send numbers, text"),
    ],
)
def test_what_cannot_travel_is_named(value: Any, where: str) -> None:
    with pytest.raises(PackingError, match=where):
        pack(value)


def test_what_contains_itself_is_named() -> None:
    ring: dict[str, Any] = {}
    ring["ring"] = ring
    with pytest.raises(PackingError, match="nested too deeply, or it contains itself"):
        pack({"data": ring})


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x91" * 1_000_000,
        b"\x81\x91\x01\x02",  # a list as a key
        b"\xdd\xff\xff\xff\xff",  # four billion items, none there
        b"\xdb\xff\xff\xff\xff",
        b"\xa1\xff",  # no UTF-8
        msgpack.packb(msgpack.ExtType(99, b"x")),
        msgpack.packb(msgpack.ExtType(6, b"\x01")),  # a tuple whose content is no list
        msgpack.packb(msgpack.ExtType(6, b"\x90\x90")),
        msgpack.packb(msgpack.ExtType(6, b"")),
        msgpack.packb(msgpack.ExtType(3, msgpack.packb([float("nan"), 0, 0]))),
        msgpack.packb(msgpack.ExtType(5, b"no number")),
        pack(1) + b"\x00",
    ],
)
def test_bytes_that_are_no_value_are_refused(payload: bytes) -> None:
    with pytest.raises(UnreadableMessage, match="no msgpack: "):
        unpack(payload)


def test_tuples_within_tuples_have_a_limit_on_both_sides() -> None:
    value: Any = ()
    for _ in range(31):
        value = (value,)
    assert unpack(pack(value)) == value
    for _ in range(3):
        value = (value,)
    with pytest.raises(PackingError, match="nested too deeply"):
        pack(value)
    content = b"\x90"
    for _ in range(1000):
        content = b"\x91" + msgpack.packb(msgpack.ExtType(6, content))
    with pytest.raises(UnreadableMessage):
        unpack(content)


class NotATime(datetime):
    """As pandas' NaT: a datetime that is none."""

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        return "NaT"


def test_a_datetime_that_no_reader_understands_is_refused_where_it_is_sent() -> None:
    with pytest.raises(PackingError):
        pack({"at": NotATime(2026, 1, 1)})
