"""Writes SQLite's log back into the database file, beside the commits instead of within one.

By itself SQLite does so within the commit that brings the log to 1,000 pages: every hundredth
commit or so then takes 10 ms and more, and the due job that waits for it is late by that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.database import Database

_EVERY = 0.5


class Checkpointer:
    """Follows what is written; does nothing while nothing is.

    Args:
        database: whose log.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        """A checkpoint half a second after a commit, with all commits in between."""
        seen = 0
        while True:
            await self._database.written.wait(since=seen)
            await asyncio.sleep(_EVERY)
            seen = self._database.written.fired
            await self._database.checkpoint()
