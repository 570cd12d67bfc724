"""What a device's message says that is not an envelope: a map, a number, a text or bytes."""

from __future__ import annotations

from typing import Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.maps import read_json_text
from routeq_mqtt.wire.packing import ensure_packable, unpack

_MAPS = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])
"""First bytes of a msgpack map. No UTF-8 text begins with 0x80 to 0x8f."""


def reading(payload: bytes) -> Any:  # noqa: ANN401 - whatever was sent
    """A JSON object or a msgpack map as a map, a number as a number, else text, else the bytes.

    Raises:
        UnreadableMessage: it begins like a map but is not a valid one.
    """
    if payload[:1] and payload[0] in _MAPS:
        try:
            value = unpack(payload)
        except UnreadableMessage:
            if payload[0] < 0xDE:
                raise
        else:
            return _checked(value)
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload
    return _of_text(text)


def _of_text(text: str) -> Any:  # noqa: ANN401
    stripped = text.strip()
    if stripped.startswith("{"):
        return _checked(read_json_text(stripped))
    try:
        number = read_json_text(stripped)
    except UnreadableMessage:
        return text
    return number if type(number) in {int, float} and abs(number) < 1 << 63 else text


def _checked(value: Any) -> Any:  # noqa: ANN401
    if any(type(key) is not str for key in value):
        raise UnreadableMessage("a reading is a map with texts as keys")
    ensure_packable(value)
    return value
