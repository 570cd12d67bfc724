"""Where a page ended: an opaque text, from which the next page begins without counting."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from routeq_mqtt.wire import checks
from routeq_mqtt.wire.maps import read_json

_LONGEST = 4_000
_MOST = 8


def encode_cursor(values: list[str | float]) -> str:
    """The sort key of the last row that was looked at."""
    text = json.dumps(values, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def decode_cursor(text: str) -> list[str | float]:
    """The sort key again.

    Raises:
        UnreadableMessage: it is not a cursor.
    """
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        checks.refuse("cursor", text, "the `next` of the page before, as it was")
    values = read_json(raw)
    if type(values) is not list or not 0 < len(values) <= _MOST:
        checks.refuse("cursor", text, "the `next` of the page before, as it was")
    return [_value(value) for value in values]


def _value(value: Any) -> str | float:  # noqa: ANN401 - whatever came
    if type(value) is str:
        return _text(value)  # type: ignore[no-any-return]
    return _number(value)  # type: ignore[no-any-return]


_text = checks.words("cursor", _LONGEST)
_number = checks.number("cursor", -1e300, 1e300)
check_cursor: checks.Check = checks.text("cursor", _LONGEST)
