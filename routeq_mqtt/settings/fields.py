"""One setting: how it is declared, and how its environment variable is read.

A reader takes the variable's name and value, and raises `ConfigurationError` with both where the
value makes no sense.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from math import inf
from typing import TypeVar

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.topics import check_namespace

T = TypeVar("T")
Read = Callable[[str, str], object]


def text(name: str, value: str) -> str:
    """As it is."""
    return value


def number(name: str, value: str) -> float:
    """A number above 0."""
    try:
        parsed = float(value)
    except ValueError:
        parsed = -1.0
    if not 0 < parsed < inf:
        raise ConfigurationError(f"{name}={value!r} must be a number above 0")
    return parsed


def namespace(name: str, value: str) -> str:
    """A namespace; see `check_namespace`."""
    return check_namespace(value, name)


def prefix(name: str, value: str) -> str:
    """The beginning of a topic."""
    if not value.endswith("/") or len(value) < 2 or any(char in value for char in "+#\0"):
        raise ConfigurationError(
            f"{name}={value!r} must be the beginning of a topic: it ends in /, without + and #"
        )
    return value


def zero_or_more(name: str, value: str) -> float:
    """0, or a number above it."""
    return 0.0 if value.strip() in {"0", "0.0"} else number(name, value)


def switch(name: str, value: str) -> bool:
    """True or false, or another word for them."""
    switches = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if value.lower() not in switches:
        raise ConfigurationError(f"{name}={value!r} must be true or false")
    return switches[value.lower()]


def whole(name: str, value: str) -> int:
    """A number above 0, rounded down."""
    return int(number(name, value))


def up_to(most: int) -> Callable[[str, str], int]:
    """Reads a whole number from 1 to `most`."""

    def read(name: str, value: str) -> int:
        parsed = whole(name, value)
        if not 1 <= parsed <= most:
            raise ConfigurationError(f"{name}={value!r} must be a whole number from 1 to {most}")
        return parsed

    return read


def one_of(*choices: str) -> Callable[[str, str], str]:
    """Reads one of some words."""

    def read(name: str, value: str) -> str:
        if value not in choices:
            raise ConfigurationError(
                f"{name}={value!r} is unknown; use one of {', '.join(choices)}"
            )
        return value

    return read


def setting(
    default: T,
    about: str,
    *,
    read: Read = text,
    shown: str | None = None,
    is_secret: bool = False,
) -> T:
    """Declare a field of a dataclass as a setting.

    Args:
        default: its value where the variable is not set.
        about: what it is for, in Markdown; goes into `docs/settings.md`.
        read: makes its value of the variable's.
        shown: how the default is shown; default: as it is.
        is_secret: leave it out of the `repr`; its variable has a twin that names a file.
    """
    metadata = {"about": about, "read": read, "shown": shown}
    declared: T = field(default=default, repr=not is_secret, metadata=metadata)
    return declared
