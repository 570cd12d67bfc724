"""Writes SQLite's log back into the database file, beside the commits instead of within one.

By itself SQLite does so within the commit that brings the log to 1,000 pages: every hundredth
commit or so then takes 10 ms and more, and the due job that waits for it is late by that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from routeq_mqtt.tasks import Scope

if TYPE_CHECKING:
    from routeq_mqtt.notifier import Notifier
    from routeq_mqtt.scheduler.store.database import Database

_EVERY = 0.5


class Checkpointer:
    """Follows what is written; does nothing while nothing is.

    Args:
        database: whose log.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        """A checkpoint half a second after a commit, with all commits in between.

        Also after one that a full disk refused: what the log takes can be used again then.
        """
        database, seen, refused = self._database, 0, 0
        while True:
            await _either(database.written, seen, database.refused, refused)
            await asyncio.sleep(_EVERY)
            seen, refused = database.written.fired, database.refused.fired
            await database.checkpoint()


async def _either(first: Notifier, first_seen: int, second: Notifier, second_seen: int) -> None:
    async with Scope() as scope:
        waits = {
            scope.start(first.wait(since=first_seen), "written"),
            scope.start(second.wait(since=second_seen), "refused"),
        }
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
