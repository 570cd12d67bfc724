"""Checks for what arrives: each returns the value, or raises and names field, value and need."""

from __future__ import annotations

from math import isfinite
from typing import Any, NoReturn

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.wire.names import check_queue_name

_LATEST = 253_402_300_800.0
"""The end of the year 9999: later than any date that Python can show."""


def refuse(field: str, value: object, needed: str) -> NoReturn:
    """Raise the error for a field.

    Raises:
        UnreadableMessage: always.
    """
    shown = repr(value)
    raise UnreadableMessage(f"{field}={shown[:80]} must be {needed}")


def count(field: str, value: Any, least: int) -> int:  # noqa: ANN401
    """A whole number, `least` or more."""
    if type(value) is not int or not least <= value < 1 << 53:
        refuse(field, value, f"a whole number, {least} or more")
    return int(value)


def seconds(field: str, value: Any) -> float:  # noqa: ANN401
    """A number of seconds, 0 or more."""
    if type(value) not in {int, float} or not 0 <= value < _LATEST:
        refuse(field, value, "a number of seconds, 0 or more")
    return float(value)


def epoch(field: str, value: Any) -> float:  # noqa: ANN401
    """UTC epoch seconds."""
    if type(value) not in {int, float} or not isfinite(value) or abs(value) >= _LATEST:
        refuse(field, value, "UTC epoch seconds")
    return float(value)


def text(field: str, value: Any, longest: int) -> str:  # noqa: ANN401
    """A text that is not empty."""
    if type(value) is not str or not 0 < len(value) <= longest:
        refuse(field, value, f"a text of 1 to {longest} characters")
    return str(value)


def queue(field: str, value: Any) -> str:  # noqa: ANN401
    """A queue's name."""
    try:
        return check_queue_name(value, field)
    except ConfigurationError as error:
        raise UnreadableMessage(str(error)[:300]) from None


def text_map(field: str, value: Any) -> dict[str, Any]:  # noqa: ANN401
    """A map whose keys are texts."""
    if type(value) is not dict or not all(type(key) is str for key in value):
        refuse(field, value, "a map with texts as keys")
    return dict(value)


def waits(field: str, value: Any) -> float | list[float]:  # noqa: ANN401
    """Seconds, or a list of seconds."""
    if type(value) is list:
        if not 0 < len(value) <= 1_000:
            refuse(field, value, "a list of 1 to 1000 numbers of seconds")
        return [seconds(field, item) for item in value]
    return seconds(field, value)


def boolean(field: str, value: Any) -> bool:  # noqa: ANN401
    """True or false."""
    if type(value) is not bool:
        refuse(field, value, "true or false")
    return bool(value)


def maps(field: str, value: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """A list of maps."""
    if type(value) is not list or len(value) > 1_000:
        refuse(field, value, "a list of at most 1000 maps")
    return [text_map(field, item) for item in value]
