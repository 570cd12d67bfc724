"""How fast one address may connect."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_broker.clock import Clock

_BURST_SECONDS = 10.0
_REMEMBERED = 10_000


class ConnectRates:
    """A token bucket for each address.

    Args:
        rate: connections a second.
        clock: tells how long ago the last one was.
    """

    def __init__(self, rate: float, clock: Clock) -> None:
        self._rate = rate
        self._burst = rate * _BURST_SECONDS
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, address: str) -> bool:
        """Whether one connection more is allowed now; it counts."""
        now = self._clock.monotonic()
        tokens, last = self._buckets.pop(address, (self._burst, now))
        tokens = min(self._burst, tokens + (now - last) * self._rate)
        allowed = tokens >= 1
        self._buckets[address] = (tokens - allowed, now)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return allowed
