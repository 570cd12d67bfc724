"""Rates: so many jobs in so many seconds."""

from __future__ import annotations

from typing import Any

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.wire.shown import shown

_LONGEST = 1e9


def check_rate(where: str, value: Any) -> tuple[float, float]:  # noqa: ANN401 - whatever came
    """A rate as a tuple.

    Raises:
        ConfigurationError: it is none; names it.
    """
    parts = list(value) if isinstance(value, list | tuple) else []
    fits = len(parts) == 2 and all(type(part) in {int, float} for part in parts)
    if not fits or not 1 <= parts[0] < _LONGEST or not 0 < parts[1] < _LONGEST:
        raise ConfigurationError(
            f"{where}={shown(value)} must be (jobs, seconds), for example (100, 60), "
            "of at least one job"
        )
    return float(parts[0]), float(parts[1])
