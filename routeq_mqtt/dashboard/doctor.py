"""The checks of `routeq-mqtt doctor`, made when somebody asks, and seldom."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from routeq_mqtt.doctor.checks import examine

if TYPE_CHECKING:
    from routeq_mqtt.bus.bus import Bus
    from routeq_mqtt.clock import Clock

_GOOD_FOR = 15.0
"""Seconds for which the checks serve everybody: each examination connects anew."""


class Doctor:
    """Examines the bus, once at a time.

    Args:
        bus: whose settings are used.
        clock: tells how old the last examination is.
    """

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._lock = asyncio.Lock()
        self._until = float("-inf")
        self._checks: list[dict[str, Any]] = []

    async def checks(self) -> list[dict[str, Any]]:
        """The checks."""
        async with self._lock:
            if self._clock.monotonic() >= self._until:
                self._checks = [asdict(check) for check in await examine(self._bus.settings)]
                self._until = self._clock.monotonic() + _GOOD_FOR
            return self._checks
