"""Rates: a number of jobs per number of seconds."""

from __future__ import annotations

from typing import Any

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.wire.display import shown

_LONGEST = 1e9


def is_rate(value: object) -> bool:
    """Whether it is a pair of a count, at least 1, and a number of seconds."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    number, seconds = value
    if type(number) not in {int, float} or type(seconds) not in {int, float}:
        return False
    return bool(1 <= number < _LONGEST and 0 < seconds < _LONGEST)


def check_rate(where: str, value: Any) -> tuple[float, float]:  # noqa: ANN401 - whatever came
    """A rate as a tuple.

    Raises:
        ConfigurationError: it is invalid; names it.
    """
    if not is_rate(value):
        raise ConfigurationError(
            f"{where}={shown(value)} must be (jobs, seconds), for example (100, 60), "
            "of at least one job"
        )
    number, seconds = value
    return float(number), float(seconds)
