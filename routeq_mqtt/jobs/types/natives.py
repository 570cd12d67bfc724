"""Types that messages have, or that are one text or number: dates, UUIDs, paths, addresses, …."""

from __future__ import annotations

from base64 import b64decode
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from routeq_mqtt.jobs.types.codec import Codec, WrongType

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum


def _native(kind: type, *also: type, decode: Callable[[Any], Any] | None = None) -> Codec:
    """A type that msgpack or our extensions have; subclasses travel as that type."""
    accepted = (kind, *also)

    def check(value: Any, path: str) -> Any:  # noqa: ANN401
        if not isinstance(value, accepted):
            raise WrongType(path, kind.__name__, value)
        return value

    return Codec(kind.__name__, exact=kind, encode=check, decode=decode)


def _of(kinds: tuple[type, ...], make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a value of what JSON has in its place; anything else stays as it is."""
    return lambda value: make(value) if type(value) in kinds else value


def _as_text(kind: type) -> Codec:
    """A type that travels as its text."""

    def encode(value: Any, path: str) -> str:  # noqa: ANN401
        if not isinstance(value, kind):
            raise WrongType(path, kind.__name__, value)
        return str(value)

    return Codec(kind.__name__, encode=encode, decode=_of((str,), kind), native=False)


NATIVES: dict[Any, Codec] = {
    str: _native(str),
    int: _native(int),
    bool: _native(bool),
    float: _native(float, int, decode=_of((int,), float)),
    bytes: _native(
        bytes,
        bytearray,
        memoryview,
        decode=_of((str,), lambda value: b64decode(value, validate=True)),
    ),
    bytearray: _native(bytearray, bytes, memoryview, decode=_of((bytes,), bytearray)),
    datetime: _native(datetime, decode=_of((str,), datetime.fromisoformat)),
    date: _native(date, decode=_of((str,), date.fromisoformat)),
    time: _native(time, decode=_of((str,), time.fromisoformat)),
    timedelta: _native(
        timedelta, decode=_of((int, float), lambda value: timedelta(seconds=value))
    ),
    UUID: _native(UUID, decode=_of((str,), UUID)),
    Decimal: _native(Decimal, decode=_of((str, int, float), lambda value: Decimal(str(value)))),
    **{
        kind: _as_text(kind)
        for kind in (
            Path, PosixPath, WindowsPath, PurePath, PurePosixPath, PureWindowsPath,
            IPv4Address, IPv6Address, IPv4Network, IPv6Network, IPv4Interface, IPv6Interface,
        )
    },
}  # fmt: skip


def enumeration(kind: type[Enum]) -> Codec:
    """An enumeration travels as the value of its member."""

    def encode(value: Any, path: str) -> Any:  # noqa: ANN401
        if isinstance(value, kind):
            return value.value
        raise WrongType(path, kind.__name__, value)

    def decode(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, kind):
            return value
        return kind(tuple(value) if type(value) is list else value)

    return Codec(kind.__name__, encode=encode, decode=decode, native=False)


NONE = Codec("None", exact=type(None), encode=None)


def only_none(value: object, path: str) -> None:
    """Refuse anything but None."""
    if value is not None:
        raise WrongType(path, "None", value)
