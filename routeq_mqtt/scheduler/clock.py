"""The clock that the scheduler counts by: it steps only when told to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.scheduler.store.rows import NewRow


class StableClock:
    """A `Clock` whose wall clock does not step before it is told to.

    So everybody counts by the old time until what they counted has been moved, all of it at once.

    Args:
        clock: where time comes from.

    Attributes:
        era: names this process and how often the clock was set while it ran.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()
        self._instance = new_id()
        self._steps: list[float] = []
        self.era: str = f"{self._instance}.0"

    def now(self) -> float:
        """UTC epoch seconds."""
        return self._clock.monotonic() + self._offset

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        return self._clock.monotonic()

    def wall(self) -> float:
        """The system's own UTC epoch seconds, for what others compare with theirs: signatures."""
        return self._clock.now()

    @property
    def behind(self) -> float:
        """Seconds that the system's wall clock is ahead of this one; negative: behind it."""
        return self.wall() - self.now()

    def next_era(self) -> str:
        """The name of the era after the next step."""
        return f"{self._instance}.{len(self._steps) + 1}"

    def step(self, seconds: float) -> None:
        """Set this clock; a new era begins."""
        self.era = self.next_era()
        self._steps.append(seconds)
        self.follow(seconds)

    def step_back(self) -> None:
        """The last step was none: what it is for could not be moved."""
        self.follow(-self._steps.pop())
        self.era = f"{self._instance}.{len(self._steps)}"

    def moved(self, row: NewRow) -> NewRow:
        """A row whose time was counted by this clock, before it was set: by the time of now."""
        instance, _, number = (row.era or "").rpartition(".")
        if instance != self._instance or row.era == self.era:
            return row
        since = sum(self._steps[int(number) :])
        return replace(row, run_at=row.run_at + since, era=self.era)

    def follow(self, seconds: float) -> None:
        """Keep up with a clock that runs a little faster or slower."""
        self._offset += seconds
