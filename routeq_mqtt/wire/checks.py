"""Checks for what arrives: each returns the value, or raises and names field, value and need.

Those that take a bound are made for one field, once, since every message goes through them.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.wire.names import check_queue_name
from routeq_mqtt.wire.shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[Any], Any]

LATEST = 253_402_300_800.0
"""The end of the year 9999: later than any date that Python can show."""

_NUMBERS = frozenset({int, float})
_FLAT = frozenset({type(None), bool, int, float, str})
_MOST = 1_000


def refuse(field: str, value: object, needed: str) -> NoReturn:
    """Raise the error for a field.

    Raises:
        UnreadableMessage: always.
    """
    raise UnreadableMessage(f"{field}={shown(value)} must be {needed}")


def count(field: str, least: int) -> Check:
    """A whole number, `least` or more."""

    def check(value: Any) -> int:  # noqa: ANN401
        if type(value) is not int or not least <= value < 1 << 53:
            refuse(field, value, f"a whole number, {least} or more")
        return value

    return check


def seconds(field: str) -> Check:
    """A number of seconds, 0 or more."""

    def check(value: Any) -> float:  # noqa: ANN401
        if type(value) not in _NUMBERS or not 0 <= value < LATEST:
            refuse(field, value, "a number of seconds, 0 or more")
        return value  # type: ignore[no-any-return]

    return check


def epoch(field: str) -> Check:
    """UTC epoch seconds."""

    def check(value: Any) -> float:  # noqa: ANN401
        if type(value) not in _NUMBERS or not -LATEST < value < LATEST or not isfinite(value):
            refuse(field, value, "UTC epoch seconds")
        return value  # type: ignore[no-any-return]

    return check


def text(field: str, longest: int) -> Check:
    """A text that is not empty and can stand in one line of a log."""

    def check(value: Any) -> str:  # noqa: ANN401
        if type(value) is not str or not 0 < len(value) <= longest or not value.isprintable():
            refuse(field, value, f"a printable text of 1 to {longest} characters")
        return value

    return check


def queue(field: str) -> Check:
    """A queue's name."""

    @lru_cache(1_024)
    def known(value: str) -> str:
        return check_queue_name(value, field)

    def check(value: Any) -> str:  # noqa: ANN401
        if type(value) is not str:
            refuse(field, value, "a text")
        try:
            return known(value)
        except ConfigurationError as error:
            raise UnreadableMessage(str(error)) from None

    return check


def text_map(field: str) -> Check:
    """A map whose keys are texts."""

    def check(value: Any) -> dict[str, Any]:  # noqa: ANN401
        if type(value) is not dict:
            refuse(field, value, "a map with texts as keys")
        for key in value:
            if type(key) is not str:
                refuse(field, value, f"a map with texts as keys, not {shown(key)}")
        return value

    return check


def waits(field: str) -> Check:
    """Seconds, or a list of seconds."""
    one = seconds(field)

    def check(value: Any) -> float | list[float]:  # noqa: ANN401
        if type(value) is not list:
            return one(value)  # type: ignore[no-any-return]
        if not 0 < len(value) <= _MOST:
            refuse(field, value, f"a list of 1 to {_MOST} numbers of seconds")
        for number, item in enumerate(value):
            seconds(f"{field}[{number}]")(item)
        return value

    return check


def word(field: str, *words: str) -> Check:
    """One of some words."""

    def check(value: Any) -> str:  # noqa: ANN401
        if value not in words:
            refuse(field, value, f"one of {', '.join(words)}")
        return value  # type: ignore[no-any-return]

    return check


def boolean(field: str) -> Check:
    """True or false."""

    def check(value: Any) -> bool:  # noqa: ANN401
        if type(value) is not bool:
            refuse(field, value, "true or false")
        return value

    return check


def flat_maps(field: str) -> Check:
    """A list of maps that hold numbers and texts only."""

    def check(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        if type(value) is not list or len(value) > _MOST:
            refuse(field, value, f"a list of at most {_MOST} maps")
        for number, item in enumerate(value):
            where = f"{field}[{number}]"
            for key, part in text_map(where)(item).items():
                if type(part) not in _FLAT:
                    refuse(f"{where}.{key[:40]}", part, "a number or a text")
        return value

    return check
