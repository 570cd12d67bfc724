"""Values as bytes: the one home of msgpack, and of our extension types.

msgpack carries None, bool, int, float, str, bytes, list and map. The extension types below carry
what Python programs also put into a job; `docs/wire-format.md` lists them for other languages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import msgpack

from routeq_mqtt.errors import PackingError, UnreadableMessage

_DATETIME, _DATE, _TIMEDELTA, _UUID, _DECIMAL, _TUPLE, _SET, _INT = range(1, 9)
_DEEPEST = 64
_PLAIN_BASES: tuple[type[Any], ...] = (bool, int, float, str, bytes, list)
_PLAIN = (type(None), bool, int, float, str, bytes)


def pack(value: object) -> bytes:
    """Pack a value.

    Raises:
        PackingError: something in it cannot travel; names where.
    """
    try:
        packed: bytes = msgpack.packb(value, default=_extend, strict_types=True)
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeEncodeError) as error:
        raise PackingError(_culprit(value, "", 0) or f"cannot pack: {error}") from None
    return packed


def unpack(payload: bytes) -> Any:  # noqa: ANN401 - whatever was packed
    """Unpack one value.

    Raises:
        UnreadableMessage: the bytes are no msgpack, cut off, nested too deeply or followed by more.
    """
    try:
        return msgpack.unpackb(
            payload, ext_hook=_restore, strict_map_key=False, use_list=True, raw=False
        )
    except UnreadableMessage:
        raise
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise UnreadableMessage(f"no msgpack: {reason[:200]}") from None


def _extend(value: object) -> object:
    encode = _ENCODERS.get(type(value))
    if encode is not None:
        return encode(value)
    for kind, encoder in _ENCODERS.items():
        if isinstance(value, kind):
            return encoder(value)
    for plain in _PLAIN_BASES:
        if isinstance(value, plain):
            return plain(value)  # a subclass, for example an enumeration of texts
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"{type(value).__name__} objects cannot travel")


def _nested(kind: int, value: object) -> msgpack.ExtType:
    return msgpack.ExtType(kind, pack(value))


def _text(kind: int) -> Callable[[Any], object]:
    return lambda value: msgpack.ExtType(kind, str(value).encode())


def _encode_int(value: Any) -> object:  # noqa: ANN401
    number = int(value)
    if -(2**63) <= number < 2**64:
        return number  # a subclass: an enumeration
    return msgpack.ExtType(_INT, str(number).encode())


_ENCODERS: dict[type, Callable[[Any], object]] = {
    datetime: lambda value: msgpack.ExtType(_DATETIME, value.isoformat().encode()),
    date: lambda value: msgpack.ExtType(_DATE, value.isoformat().encode()),
    timedelta: lambda value: _nested(_TIMEDELTA, [value.days, value.seconds, value.microseconds]),
    UUID: lambda value: msgpack.ExtType(_UUID, value.bytes),
    Decimal: _text(_DECIMAL),
    tuple: lambda value: _nested(_TUPLE, list(value)),
    set: lambda value: _nested(_SET, list(value)),
    frozenset: lambda value: _nested(_SET, list(value)),
    int: _encode_int,
}


def _restore(kind: int, data: bytes) -> object:
    decode = _DECODERS.get(kind)
    if decode is None:
        raise UnreadableMessage(f"msgpack extension type {kind} is unknown")
    try:
        return decode(data)
    except (ValueError, TypeError, InvalidOperation, OverflowError) as error:
        raise UnreadableMessage(f"msgpack extension type {kind} holds no value: {error}") from None


_DECODERS: dict[int, Callable[[bytes], object]] = {
    _DATETIME: lambda data: datetime.fromisoformat(data.decode()),
    _DATE: lambda data: date.fromisoformat(data.decode()),
    _TIMEDELTA: lambda data: timedelta(*unpack(data)),
    _UUID: lambda data: UUID(bytes=data),
    _DECIMAL: lambda data: Decimal(data.decode()),
    _TUPLE: lambda data: tuple(unpack(data)),
    _SET: lambda data: set(unpack(data)),
    _INT: lambda data: int(data.decode()[:5_000]),
}


def _culprit(value: object, path: str, depth: int) -> str | None:
    """What in a value cannot travel, with its path; only looked for after packing failed."""
    if depth > _DEEPEST * 8:
        return f"{path[:200]}…: nested too deeply"
    if isinstance(value, Mapping):
        parts = [(f"{path}.{key}" if path else str(key), part) for key, part in value.items()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = [(f"{path}[{number}]", part) for number, part in enumerate(value)]
    else:
        return _refusal(value, path)
    found = (_culprit(part, at, depth + 1) for at, part in parts)
    return next((text for text in found if text is not None), None)


def _refusal(value: object, path: str) -> str | None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"{path}: the text {value[:40]!r} is no valid Unicode"
        return None
    if isinstance(value, _PLAIN):
        return None
    try:
        _extend(value)
    except (TypeError, PackingError):
        return (
            f"{path}: a {type(value).__name__} object cannot travel; "
            "use numbers, text, bytes, datetimes, UUIDs, Decimals, lists, tuples, sets and maps"
        )
    return None
