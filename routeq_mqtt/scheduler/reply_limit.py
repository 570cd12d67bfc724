"""Learns which answers are larger than a broker takes that does not say so (MQTT 3.1.1).

Such a broker ends the connection instead, and who asked asks again: the scheduler would reconnect
without end, and everything else would wait.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost

if TYPE_CHECKING:
    import asyncio

    from routeq_mqtt.clock import Clock

LARGE = 16 * 1024
"""Bytes of an answer that may be to blame: no broker in use takes less."""

_STRIKES = 2
"""Connections that end at answers of one size, before such answers are cut."""

_FORGET_AFTER = 600.0
"""Seconds after which it is tried again: the limit may have been raised."""


class ReplyLimit:
    """How large an answer may be.

    Args:
        clock: for how long what was learned holds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._most: float = inf
        self._until = 0.0
        self._lost: Counter[int] = Counter()

    def refuses(self, size: int) -> bool:
        """Whether the broker would end the connection at an answer of this many bytes."""
        if self._most < inf and self._clock.monotonic() >= self._until:
            self._most = inf
            self._lost.clear()
        return size >= self._most

    def ended(self, sent: asyncio.Future[int], size: int) -> bool:
        """A large answer was acknowledged, or its connection ended first: whether the latter."""
        if sent.cancelled():
            return False
        if not isinstance(sent.exception(), ConnectionLost):
            self._lost.clear()
            self._most = inf if size >= self._most else self._most
            return False
        kind = size.bit_length()  # the next answer to the same question may be a little longer
        self._lost[kind] += 1
        if self._lost[kind] >= _STRIKES:
            self._most = min(self._most, size)
            self._until = self._clock.monotonic() + _FORGET_AFTER
        return True
