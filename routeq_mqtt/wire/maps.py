"""A message that is a map, in msgpack or JSON; and JSON as strictly as it is meant."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.packing import ensure_packable, unpack

_JSON = b"{"
_SPACE = b" \t\r\n"


def is_json(payload: bytes) -> bool:
    """Whether a message is a JSON object: its first character that is not white space is ``{``."""
    # A map of msgpack begins with 0x80 or more, so only other messages are looked at twice.
    return payload[:1] < b"\x80" and payload.lstrip(_SPACE)[:1] == _JSON


def read_map(payload: bytes, what: str) -> dict[Any, Any]:
    """A msgpack map or a JSON object; what is in it can be packed again.

    Raises:
        UnreadableMessage: it is neither; names `what` it ought to be.
    """
    raw = read_json(payload) if is_json(payload) else unpack(payload)
    if type(raw) is not dict:
        raise UnreadableMessage(f"{what} is a map, not {type(raw).__name__}")
    return raw


def read_json_map(payload: bytes, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UnreadableMessage: it is invalid; names `what` it ought to be.
    """
    raw = read_json(payload)
    if type(raw) is not dict:
        raise UnreadableMessage(f"{what} is a JSON object, not {type(raw).__name__}")
    return raw


def read_json(payload: bytes) -> Any:  # noqa: ANN401 - whatever was sent
    """JSON in UTF-8, without NaN, infinities, lone surrogates and numbers too large to be finite.

    Raises:
        UnreadableMessage: it is invalid, or nested too deeply.
    """
    try:
        value = read_json_text(payload.decode())
    except UnicodeDecodeError as error:
        raise UnreadableMessage(f"no JSON: {error}"[:200]) from None
    ensure_packable(value)
    return value


def read_json_text(text: str) -> Any:  # noqa: ANN401 - whatever was sent
    """JSON as a text; as `read_json`, but for lone surrogates."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnreadableMessage(f"no JSON: {str(error)[:200]}") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise ValueError(f"{digits[:20]} is too large a number")
    return value
