"""A clock for time travel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock


class TravelClock:
    """A clock that can be put forward.

    Args:
        base: that it goes with.
    """

    def __init__(self, base: Clock) -> None:
        self._base = base
        self._ahead = 0.0
        self._stopped_at: float | None = None

    def now(self) -> float:
        """UTC epoch seconds."""
        return self._base.now() + self._ahead if self._stopped_at is None else self._stopped_at

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        return self._base.monotonic() + self._ahead

    def forward(self, seconds: float) -> None:
        """Put it forward."""
        self._ahead += seconds

    def stop_at(self, when: float | None) -> None:
        """Let it stand still at UTC epoch seconds; None: go on where it would be."""
        self._stopped_at = when
