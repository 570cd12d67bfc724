"""Any value of the wire as JSON: what a command prints with ``--json``.

JSON (RFC 8259) has neither bytes, dates, tuples nor infinity, and only texts as keys of a map.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite

from routeq_mqtt.wire.display import readable, shown

_DEEPEST = 100
"""Levels of lists and maps; what is deeper is shown by its type and size."""

_TOO_LONG = 10**4_000
"""Python writes no longer number in decimal; such a one is hexadecimal text."""

_CONTAINERS = (Mapping, list, tuple, set, frozenset)


def to_json(value: object, *, indent: int | None = None) -> str:
    """A value as JSON, which every reader of JSON takes. Raises nothing for what can travel.

    Bytes are text where they are UTF-8, else hexadecimal; tuples and sets are lists; dates, UUIDs,
    Decimals, and numbers that JSON does not have (``nan``, ``inf``) are texts. A key of a map
    becomes a text; where two keys would become the same one (``1`` and ``"1"``), the map is a list
    of pairs of key and value, so that neither is lost. Below 100 levels only type and size of a
    value are shown.

    Args:
        value: as `unpack` gives it.
        indent: spaces of each level; None: all in one line.
    """
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value: object, depth: int = 0) -> object:
    if isinstance(value, str):
        return readable(str.__str__(value))
    if value is None or isinstance(value, int):
        return value if abs(value or 0) < _TOO_LONG else hex(value or 0)
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _text(bytes(value))
    if isinstance(value, _CONTAINERS) and depth >= _DEEPEST:
        return shown(value)
    if isinstance(value, Mapping):
        return _map(value, depth + 1)
    if isinstance(value, _CONTAINERS):
        return [_plain(part, depth + 1) for part in value]
    return str(value)


def _map(value: Mapping[object, object], depth: int) -> object:
    parts = {key: _plain(part, depth) for key, part in value.items()}
    keys = {key: _plain(key, depth) for key in parts}
    texts = {_key(keys[key]): part for key, part in parts.items()}
    if len(texts) == len(parts):
        return texts
    return [[keys[key], part] for key, part in parts.items()]


def _key(plain: object) -> str:
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.hex()
