"""Where time comes from: an object, so that a three-day backoff is tested in a millisecond."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time for due times, monotonic time for waiting; both in seconds."""

    def now(self) -> float:
        """UTC epoch seconds; may step back and forth."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow; meaningless outside of this process."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        """UTC epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some point in the past."""
        return time.monotonic()
