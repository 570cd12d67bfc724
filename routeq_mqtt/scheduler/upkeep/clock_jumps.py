"""The wall clock of the scheduler, watched: a machine without a battery clock boots in 1970.

What was said as a time of the day is due by the wall clock, whatever that was when it was said.
What was given as a number of seconds from now was counted by the wall clock of that moment: it is
moved along when the clock is set, and so are the ages of what is remembered for so long.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.sql import clock_jumps as sql

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.store.database import Database

log: logging.Logger = logging.getLogger(__name__)

STEP = 2.0
"""Seconds that a clock may run apart unnoticed; what is more was set by somebody."""

_LOOK_EVERY = 1.0


class ClockJumps:
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
        context.delayed.notify()
        context.parked.notify()
