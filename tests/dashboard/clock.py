"""A clock that goes when a test says so."""

from __future__ import annotations


class ManualClock:
    """Both clocks in one."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def pass_(self, seconds: float) -> None:
        """Time passes."""
        self.time += seconds
