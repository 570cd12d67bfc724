"""Where time comes from: an object, so that a three-day backoff is tested in a millisecond."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(Protocol):
    """Wall-clock time for due times, monotonic time for waiting; both in seconds."""

    def now(self) -> float:
        """UTC epoch seconds; may step back and forth."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow; meaningless outside of this process."""
        ...


class SystemClock:
    """The machine's own clocks; without a frame of ours, since each job asks them several times."""

    now: Callable[[], float] = staticmethod(time.time)
    monotonic: Callable[[], float] = staticmethod(time.monotonic)
