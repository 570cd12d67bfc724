"""Our extension types: what Python programs put into a job and msgpack does not have.

`docs/wire-format.md` lists them for other languages. An encoder returns the type's number and its
content: bytes, or a list that is packed in turn. A decoder takes the same content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

DATETIME, DATE, TIMEDELTA, UUID_, DECIMAL, TUPLE, SET, INT, FROZENSET, TIME = range(1, 11)

OF_LISTS = frozenset({TIMEDELTA, TUPLE, SET, FROZENSET})
"""Types whose content is a packed list."""

Content = bytes | list[Any]


def encode(value: object) -> tuple[int, Content] | None:
    """Number and content of the extension type for a value; None if there is none."""
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        bases = (kind for kind in _ENCODERS if isinstance(value, kind))
        found = next(bases, None)
        if found is None:
            return None
        encoder = _ENCODERS[found]
    return encoder(value)


def plain(value: object) -> object:
    """A value of a subclass as the type that msgpack has; None if there is none.

    An enumeration of texts is a text, an `OrderedDict` a map, a `bytearray` bytes.
    """
    for kind, simplify in _PLAIN.items():
        if isinstance(value, kind):
            return simplify(value)
    return None


def decode(kind: int, content: Content) -> object:
    """The value of an extension type.

    Raises:
        KeyError: we have no type of that number.
        ValueError, TypeError, ArithmeticError: the content is not of this type.
    """
    return _DECODERS[kind](content)


def _int_bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _moment(value: datetime) -> str:
    """As text. A subclass may say what no reader understands: pandas' NaT is a `datetime`."""
    text = value.isoformat()
    if type(value) is not datetime:
        datetime.fromisoformat(text)
    return text


def _timedelta(content: Any) -> timedelta:  # noqa: ANN401
    days, seconds, microseconds = content
    return timedelta(days, seconds, microseconds)


# A datetime is also a date: the narrower type stands first.
_ENCODERS: dict[type, Callable[[Any], tuple[int, Content]]] = {
    datetime: lambda value: (DATETIME, _moment(value).encode()),
    date: lambda value: (DATE, value.isoformat().encode()),
    time: lambda value: (TIME, value.isoformat().encode()),
    timedelta: lambda value: (TIMEDELTA, [value.days, value.seconds, value.microseconds]),
    UUID: lambda value: (UUID_, value.bytes),
    Decimal: lambda value: (DECIMAL, str(value).encode()),
    tuple: lambda value: (TUPLE, list(value)),
    set: lambda value: (SET, list(value)),
    frozenset: lambda value: (FROZENSET, list(value)),
}

_DECODERS: dict[int, Callable[[Any], object]] = {
    DATETIME: lambda content: datetime.fromisoformat(content.decode()),
    DATE: lambda content: date.fromisoformat(content.decode()),
    TIME: lambda content: time.fromisoformat(content.decode()),
    TIMEDELTA: _timedelta,
    UUID_: lambda content: UUID(bytes=content),
    DECIMAL: lambda content: Decimal(content.decode()),
    TUPLE: tuple,
    SET: set,
    FROZENSET: frozenset,
    INT: lambda content: int.from_bytes(content, "big", signed=True),
}

# The unbound methods: `str(value)` of an enumeration of texts is the member's name, not its text.
_PLAIN: dict[type, Callable[[Any], object]] = {
    str: str.__str__,
    float: float.__float__,
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: bytes,
    memoryview: bytes,
    list: list,
    Mapping: dict,
}


def encode_int(value: int) -> int | tuple[int, Content]:
    """A whole number as msgpack has it, or, beyond 64 bits, as our extension type."""
    number = int(value)  # an enumeration of numbers
    if -(2**63) <= number < 2**64:
        return number
    return INT, _int_bytes(number)
