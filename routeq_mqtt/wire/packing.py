"""Values as bytes: the one home of msgpack.

msgpack carries None, bool, int, float, str, bytes, list and map; `extensions` adds what Python
programs also put into a job. What can be unpacked here can be packed again.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgpack

from routeq_mqtt.errors import PackingError, UnreadableMessage
from routeq_mqtt.wire import extensions
from routeq_mqtt.wire.unserializable import unserializable

_DEEPEST = 32
"""Tuples and sets within one another. Each is a msgpack of its own, read on the C stack."""

_SURELY_SHALLOW = 500
"""Bytes. A level of nesting takes one byte at least, and msgpack packs 511 levels."""

_UNPACKING_ERRORS = (
    ValueError,
    TypeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    msgpack.UnpackException,
)


def pack(value: object) -> bytes:
    """Pack a value.

    Raises:
        PackingError: something in it cannot travel; names where, and what can.
    """
    try:
        packed: bytes = msgpack.packb(value, default=_EXTEND[0], strict_types=True)
    except (TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise PackingError(unserializable(value) or f"cannot pack: {error}") from None
    return packed


def unpack(payload: bytes) -> Any:  # noqa: ANN401 - whatever was packed
    """Unpack one value.

    Raises:
        UnreadableMessage: the bytes are no msgpack, cut off, nested too deeply, followed by more,
            or hold an extension type that we do not know.
    """
    try:
        value = msgpack.unpackb(payload, ext_hook=_RESTORE[0], timestamp=3, strict_map_key=False)
    except _UNPACKING_ERRORS as error:
        raise UnreadableMessage(f"no msgpack: {_reason(error)}") from None
    if len(payload) > _SURELY_SHALLOW:
        ensure_packable(value)
    return value


def ensure_packable(value: object) -> None:
    """Refuse what could be read but never be sent on: such a message would stick in its hop.

    Raises:
        UnreadableMessage: it cannot be packed again.
    """
    try:
        pack(value)
    except PackingError as error:
        raise UnreadableMessage(str(error)) from None


def _reason(error: BaseException) -> str:
    if isinstance(error, msgpack.StackError | RecursionError):
        return "nested too deeply"
    return str(error)[:200] or type(error).__name__


def _extend(depth: int, value: object) -> object:
    if isinstance(value, int):
        number = extensions.encode_int(value)
        return number if isinstance(number, int) else msgpack.ExtType(*number)
    extension = extensions.encode(value)
    if extension is None:
        simple = extensions.plain(value)
        if simple is None:
            raise TypeError(f"{type(value).__name__} objects cannot travel")
        return simple
    kind, content = extension
    if isinstance(content, list):
        if depth == _DEEPEST:
            raise ValueError("tuples and sets are nested too deeply")
        content = msgpack.packb(content, default=_EXTEND[depth + 1], strict_types=True)
    return msgpack.ExtType(kind, content)


def _restore(depth: int, kind: int, data: bytes) -> object:
    if kind not in extensions.OF_LISTS:
        return _value(kind, data)
    if depth == _DEEPEST:
        raise ValueError("tuples and sets are nested too deeply")
    # An Unpacker keeps its state, 40 KB, on the heap; unpackb keeps it on the stack of C, which
    # a nested message would overflow.
    unpacker = msgpack.Unpacker(
        None,
        max_buffer_size=len(data),
        ext_hook=_RESTORE[depth + 1],
        timestamp=3,
        strict_map_key=False,
    )
    unpacker.feed(data)
    content = unpacker.unpack()
    if type(content) is not list or unpacker.tell() != len(data):
        raise ValueError(f"extension type {kind} holds no list")
    return _value(kind, content)


def _value(kind: int, content: extensions.Content) -> object:
    try:
        return extensions.decode(kind, content)
    except KeyError:
        raise ValueError(f"extension type {kind} is unknown") from None
    except (ValueError, TypeError, ArithmeticError) as error:
        reason = str(error)[:100] or type(error).__name__
        raise ValueError(f"extension type {kind} holds no such value: {reason}") from None


_EXTEND = [partial(_extend, depth) for depth in range(_DEEPEST + 1)]
_RESTORE = [partial(_restore, depth) for depth in range(_DEEPEST + 1)]
