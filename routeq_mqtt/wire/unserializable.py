"""What in a value cannot travel, and where; only looked for after packing has failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from routeq_mqtt.wire import extensions
from routeq_mqtt.wire.display import readable, shown

_DEEPEST = 500
_MOST = 1_000_000
_FIX = (
    "send numbers, text, bytes, dates, UUIDs, Decimals, lists, tuples, sets and maps of these; "
    "data classes, enumerations and models in fields annotated as such, others by register_type"
)


def unserializable(value: object) -> str | None:
    """The first part of a value that cannot travel, as ``data.files[2].socket: why``."""
    pending: list[tuple[str, object, int]] = [("", value, 0)]
    for _ in range(_MOST):
        if not pending:
            return None
        path, part, depth = pending.pop()
        refusal = _refusal(part, depth)
        if refusal is not None:
            return f"{readable(path)[:200] or 'value'}: {refusal}"
        pending.extend(reversed([(at, inner, depth + 1) for at, inner in _parts(path, part)]))
    return None


def _parts(path: str, value: object) -> Iterable[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in islice(value.items(), _MOST):
            yield f"{path}, a key", key
            yield (f"{path}.{key}" if path else str(key)), part
    elif isinstance(value, list | tuple | set | frozenset):
        for number, part in enumerate(value):
            yield f"{path}[{number}]", part


def _refusal(value: object, depth: int) -> str | None:
    if depth > _DEEPEST:
        return "nested too deeply, or it contains itself"
    if isinstance(value, str):
        return None if readable(value) == value else f"{shown(value)} is not valid Unicode"
    if value is None or isinstance(value, int):
        return None
    try:
        encoded = extensions.encode(value)
    except (ValueError, TypeError) as error:
        return f"{type(value).__name__} {shown(value)} cannot travel: {error}"
    if encoded is None and extensions.plain(value) is None:
        return f"{type(value).__name__} objects cannot travel; {_FIX}"
    return None
