"""Rates on the command line: ``100/m``, ``10/s``, ``5/30s``."""

from __future__ import annotations

import re

from routeq_mqtt.errors import ConfigurationError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_RATE = re.compile(r"(\d+)/(\d+(?:\.\d+)?)?([smhd])?")


def parse_rate(text: str, where: str) -> tuple[int, float]:
    """A count per number of seconds.

    Args:
        text: ``100/m`` (s, m, h, d), ``100/30s``, or ``100/60``: seconds.
        where: what the error message names.

    Raises:
        ConfigurationError: it is not a rate.
    """
    found = _RATE.fullmatch(text)
    number, times, unit = found.groups() if found is not None else (None, None, None)
    seconds = float(times or 1) * _UNITS[unit or "s"]
    if number is None or not (times or unit) or int(number) < 1 or not 0 < seconds < 1e9:
        raise ConfigurationError(
            f"{where}={text[:80]!r} is not a rate; write 100/m, 10/s, 5/30s or 1000/h"
        )
    return int(number), seconds


def shown_rate(rate: tuple[float, float]) -> str:
    """A rate as it would be written."""
    most, seconds = rate
    for unit, length in _UNITS.items():
        if seconds == length:
            return f"{most:g}/{unit}"
    return f"{most:g}/{seconds:g}s"
