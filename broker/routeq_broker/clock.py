"""Time comes from an object, so that a test can set it."""

from __future__ import annotations

import time


class Clock:
    """The system's time."""

    def monotonic(self) -> float:
        """Seconds that no clock change moves; for deadlines within one process."""
        return time.monotonic()

    def wall(self) -> float:
        """UTC epoch seconds; for what is written to the database."""
        return time.time()
