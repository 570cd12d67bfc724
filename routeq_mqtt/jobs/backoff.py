"""How long a job waits before its next attempt."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from routeq_mqtt.boundary import described, one_line
from routeq_mqtt.errors import ConfigurationError

log: logging.Logger = logging.getLogger(__name__)


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

    Raises:
        ConfigurationError: a value is not a number or too small.
    """

    base: float = 1.0
    factor: float = 2.0
    cap: float = 300.0
    jitter: bool = True
    random: Callable[[], float] = field(default=random.random, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value, least in (
            ("base", self.base, 0),
            ("factor", self.factor, 1),
            ("cap", self.cap, 0),
        ):
            if type(value) not in {int, float} or not least <= value < inf:
                raise ConfigurationError(
                    f"Exponential: {name}={value!r} must be a number, {least} or more"
                )

        if type(self.jitter) is not bool:
            raise ConfigurationError(f"Exponential: jitter={self.jitter!r} must be True or False")

    def before(self, attempt: int) -> float:
        """Seconds to wait before an attempt, 2 or higher."""
        exponent = min(max(attempt - 2, 0), 1_000)
        try:
            full = min(self.cap, self.base * self.factor**exponent)
        except OverflowError:
            full = self.cap
        return full * self._share() if self.jitter else full

    def _share(self) -> float:
        """What `random` gives, kept within 0 to 1; 1 where it gives nothing of the kind."""
        try:
            return min(1.0, max(0.0, float(self.random())))
        except BaseException as error:  # noqa: BLE001 - the boundary of users' code
            raised = described(error)
            log.error(
                "Exponential.random raised error=%s\n%s", one_line(raised.line), raised.for_log
            )
            return 1.0


Backoff = float | Sequence[float] | Exponential


def seconds_before(attempt: int, backoff: Backoff) -> float:
    """Seconds to wait before an attempt, 2 or higher; the last of a list repeats."""
    if isinstance(backoff, Exponential):
        return backoff.before(attempt)
    if isinstance(backoff, int | float):
        return float(backoff)
    return float(backoff[min(max(attempt - 2, 0), len(backoff) - 1)])
