"""How long a job waits before its next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from routeq_mqtt.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential:
    """Exponential backoff: ``backoff = Exponential(base=2, cap=600)``.

    Args:
        base: seconds before the second attempt; default 1.
        factor: what each wait is multiplied by for the next one; default 2.
        cap: seconds at most; default 300.
        jitter: wait anything between 0 and that, so that jobs that failed together do not come
            back together; default True.
        random: where the jitter comes from: a function that returns 0 to 1.
    """

    base: float = 1.0
    factor: float = 2.0
    cap: float = 300.0
    jitter: bool = True
    random: Callable[[], float] = field(default=random.random, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("base", 0.0), ("factor", 1.0), ("cap", 0.0)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not least <= value < float("inf"):
                raise ConfigurationError(f"Exponential: {name}={value!r} must be {least} or more")

    def before(self, attempt: int) -> float:
        """Seconds to wait before an attempt, 2 or higher."""
        exponent = min(attempt - 2, 1_000)
        try:
            full = min(self.cap, self.base * self.factor**exponent)
        except OverflowError:
            full = self.cap
        return full * self.random() if self.jitter else full


Backoff = float | Sequence[float] | Exponential


def seconds_before(attempt: int, backoff: Backoff) -> float:
    """Seconds to wait before an attempt, 2 or higher; the last of a list repeats."""
    if isinstance(backoff, Exponential):
        return backoff.before(attempt)
    if isinstance(backoff, int | float):
        return float(backoff)
    return float(backoff[min(attempt - 2, len(backoff) - 1)])
