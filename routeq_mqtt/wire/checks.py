"""Checks for what arrives: each returns the value, or raises and names field, value and need.

Those that take a bound are made for one field, once, since every message goes through them.
Whatever passes fits SQLite, JSON, one line of a log and a topic: whole numbers within 53 bits,
finite numbers, texts without NUL and lone surrogates.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.names import check_queue_name

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[Any], Any]

LATEST = 253_402_300_800.0
"""The end of the year 9999: later than any date that Python can show."""

_NUMBERS = frozenset({int, float})
_FLAT = frozenset({type(None), bool, int, float, str})
_MOST = 1_000
_LONGEST_KEY = 1_000
_NOT_IN_TOPICS = frozenset("+#")


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
    """A map whose keys are texts of at most 1,000 characters."""

    def check(value: Any) -> dict[str, Any]:  # noqa: ANN401
        if type(value) is not dict:
            refuse(field, value, "a map with texts as keys")
        for key in value:
            if type(key) is not str:
                refuse(field, value, f"a map with texts as keys, not {shown(key)}")
            if len(key) > _LONGEST_KEY:
                refuse(field, value, f"a map with keys of at most {_LONGEST_KEY} characters")
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
        if type(value) is not str or value not in words:
            refuse(field, value, f"one of {', '.join(words)}")
        return value

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


def number(field: str, least: float, most: float) -> Check:
    """A number from `least` to `most`."""

    def check(value: Any) -> float:  # noqa: ANN401
        if type(value) not in _NUMBERS or not least <= value <= most:
            refuse(field, value, f"a number from {least:g} to {most:g}")
        return value  # type: ignore[no-any-return]

    return check


def words(field: str, longest: int) -> Check:
    """Any text, also an empty one or one of many lines, without NUL and lone surrogates."""

    def check(value: Any) -> str:  # noqa: ANN401
        if type(value) is not str or len(value) > longest or "\0" in value or not _encodes(value):
            refuse(field, value, f"a text of at most {longest} characters, without NUL")
        return value

    return check


def any_words(field: str, longest: int) -> Check:
    """The same with NUL: what somebody else has accepted is read, and shown, whatever it holds."""

    def check(value: Any) -> str:  # noqa: ANN401
        if type(value) is not str or len(value) > longest or not _encodes(value):
            refuse(field, value, f"a text of at most {longest} characters")
        return value

    return check


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def client_id(field: str) -> Check:
    """A client identifier that can stand in a topic."""
    printable = text(field, 500)

    def check(value: Any) -> str:  # noqa: ANN401
        if not _NOT_IN_TOPICS.isdisjoint(printable(value)):
            refuse(field, value, "a client identifier without + and #")
        return value  # type: ignore[no-any-return]

    return check


def raw(field: str) -> Check:
    """Bytes; a number is not taken for a count of them."""

    def check(value: Any) -> bytes:  # noqa: ANN401
        if type(value) is not bytes:
            refuse(field, value, "bytes")
        return value

    return check


def or_none(check: Check) -> Check:
    """The same, or nothing."""
    return lambda value: None if value is None else check(value)


def list_of(field: str, check: Check, *, most: int) -> Check:
    """A list of at most `most` values, each checked."""

    def check_all(value: Any) -> list[Any]:  # noqa: ANN401
        if type(value) is not list or len(value) > most:
            refuse(field, value, f"a list of at most {most:,} values")
        return [check(item) for item in value]

    return check_all


def map_of(field: str, key: Check, check: Check, *, most: int) -> Check:
    """A map of at most `most` entries, each key and value checked."""

    def check_all(value: Any) -> dict[Any, Any]:  # noqa: ANN401
        if type(value) is not dict or len(value) > most:
            refuse(field, value, f"a map of at most {most:,} entries")
        return {key(name): check(part) for name, part in value.items()}

    return check_all


def read_fields(raw_map: dict[Any, Any], checks: dict[str, Check]) -> dict[str, Any]:
    """The known fields that are there, each checked; null counts as absent.

    Fields of later versions are left out.
    """
    found = ((name, raw_map.get(name)) for name in checks)
    return {name: checks[name](value) for name, value in found if value is not None}
