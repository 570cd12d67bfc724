"""Limits of a job: a rate, a number of slots, or several of them; all must allow it to run.

Jobs with the same limits stand in one lane, in order of arrival. A queue may have a rate of its
own: its jobs stand in lanes apart, and that rate must allow them, too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler.features.turns import Pass, Turns
from routeq_mqtt.scheduler.store.sql import limits as sql_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routeq_mqtt.scheduler.store.database import Database
    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection


def lane_of(limits: Sequence[dict[str, Any]]) -> str:
    """The lane of jobs with these limits."""
    return json.dumps(sorted(limits, key=lambda limit: (limit["key"], "rate" in limit)))


def _anywhere(queue: str) -> bool:  # noqa: ARG001, RUF100 - as it is called
    return True


class Limits:
    """Grants jobs their turn.

    Args:
        database: where they wait, and what was granted.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._looked_at: float | None = None
        self._closed: set[str] = set()
        """Queues whose jobs wait for a worker."""

    async def grant(
        self,
        now: float,
        is_served: Callable[[str], bool] = _anywhere,
        *,
        moved: bool = True,
    ) -> tuple[int, float | None]:
        """One pass: grant what may run now, lanes in turn, the one that waits longest first.

        Args:
            now: UTC epoch seconds.
            is_served: whether a queue has workers. Turns given while there are none would pile up,
                and all be used at once by the first one that comes.
            moved: other queues than last time may be served.

        Returns:
            How many were granted, and the seconds until time alone grants the next one; None where
            only the end of a job or a worker does, or nothing waits.
        """

        def work(db: SyncConnection) -> Turns:
            if self._looked_at is None:
                closed.update(name for (name,) in db.execute(sql_limits.HOMES))
            if self._looked_at is None or now < self._looked_at:
                db.execute(sql_limits.LOOK_AGAIN, (now,))
            if moved:
                came = [(0, f"home {queue}") for queue in closed if is_served(queue)]
                db.executemany(sql_limits.SET_OPENING, came)
            for (queue,) in db.execute(sql_limits.GRANTED_QUEUES).fetchall():
                if not is_served(queue):
                    db.execute(sql_limits.GIVE_BACK_PARKED, (queue,))
            return Pass(db, now, is_served).run()

        closed = set(self._closed)
        turns = await self._db.work(work)
        self._looked_at = now
        self._closed = (closed - turns.opened) | turns.closed
        if turns.more:
            return turns.granted, 0.0
        wait = None if turns.opens_at is None else max(0.0, turns.opens_at - now)
        return turns.granted, wait

    async def any(self) -> bool:
        """Whether a job waits for its turn."""
        return bool((await self._db.read(sql_limits.ANY_LANE))[0][0])

    async def tidy(self, now: float) -> None:
        """Forget rates that are full again, and slots that are all free."""
        await self._db.write(sql_limits.IDLE_GAUGES, [(now,)])
