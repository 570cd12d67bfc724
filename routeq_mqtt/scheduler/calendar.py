"""The wall clock of the scheduler, watched: a machine without a battery clock boots in 1970.

What was said as a time of the day is due by the wall clock, whatever that was when it was said.
What was said as so many seconds from now was counted by the wall clock of that moment: it is moved
along when the clock is set, and so are the ages of what is remembered for so long.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler import sql_calendar as sql
from routeq_mqtt.scheduler.rows import StoreUnavailable
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.database import Database
    from routeq_mqtt.scheduler.rows import NewRow

log = logging.getLogger(__name__)

STEP = 2.0
"""Seconds that a clock may run apart unnoticed; what is more was set by somebody."""

_LOOK_EVERY = 1.0


class SteadyClock:
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
        self.era = f"{self._instance}.0"

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


class Calendar:
    """Notices that the clock was set, and moves what was counted by it.

    Args:
        context: what the roles share.
        database: where that is.
    """

    def __init__(self, context: Context, database: Database) -> None:
        self._context = context
        self._db = database

    async def run(self) -> None:
        """Look at the clock, again and again; nothing is read or written while it runs evenly."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await self.look()
            except StoreUnavailable as error:
                log.error("the clock was set, and what it is for cannot be moved: %s", error)

    async def look(self) -> bool:
        """One pass; whether the clock was set.

        Raises:
            StoreUnavailable: what was counted by it cannot be moved now; it still counts for all.
        """
        clock = self._context.clock
        seconds = clock.behind
        if abs(seconds) < STEP:
            clock.follow(seconds)
            return False
        era, before = clock.era, clock.now()
        try:
            async with self._db.transaction() as work:
                await work.run(sql.MOVE_DELAYED, (seconds, clock.next_era(), era))
                for statement in sql.MOVE_PAST:
                    await work.run(statement, (seconds, before))
                for statement in sql.MOVE_FUTURE:
                    await work.run(statement, (seconds,))
                clock.step(seconds)  # in here: who comes next to the database finds both moved
        except BaseException:
            if clock.era != era:
                clock.step_back()
            raise
        log.warning("the system clock was set by %+.1f s; what waits for so long is moved", seconds)
        self._wake()
        return True

    def _wake(self) -> None:
        context = self._context
        context.limited = context.expiring = True
        context.delayed.fire()
        context.parked.fire()
