"""Schedules in the scheduler's SQLite: when each is due next."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from routeq_mqtt.job.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.scheduler.database import Database

# Another schedule under the same name begins anew; the same one goes on.
_ANNOUNCE = """
INSERT INTO schedules (name, schedule, envelope, next_at) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    next_at = CASE WHEN schedule = excluded.schedule THEN next_at ELSE excluded.next_at END,
    schedule = excluded.schedule, envelope = excluded.envelope
"""
_ALL = "SELECT schedule, envelope, next_at, last_at, paused FROM schedules ORDER BY name"
_TICKED = "UPDATE schedules SET next_at = ?, last_at = ? WHERE name = ?"
_PAUSE = "UPDATE schedules SET paused = TRUE WHERE name = ?"
_RESUME = "UPDATE schedules SET paused = FALSE, next_at = ? WHERE name = ?"
_FORGET = "DELETE FROM schedules WHERE name = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A schedule as the store has it; moments are UTC epoch seconds."""

    schedule: Schedule
    envelope: bytes
    next_at: float
    last_at: float | None
    paused: bool


class Timetable:
    """Schedules, safe on disk when a call returns.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def announce(self, announced: Sequence[tuple[Schedule, bytes]], now: float) -> None:
        """Take schedules in; one that is here already keeps its ticks, and whether it is paused."""
        await self._db.write(
            _ANNOUNCE,
            [
                (schedule.name, json.dumps(asdict(schedule)), envelope, schedule.after(now))
                for schedule, envelope in announced
            ],
        )

    async def all(self) -> list[Entry]:
        """Every schedule, by name."""
        return [
            Entry(
                schedule=Schedule(**json.loads(schedule)),
                envelope=bytes(envelope),
                next_at=next_at,
                last_at=last_at,
                paused=bool(paused),
            )
            for schedule, envelope, next_at, last_at, paused in await self._db.read(_ALL)
        ]

    async def ticked(self, name: str, *, next_at: float, last_at: float | None) -> None:
        """Its ticks up to now are dispatched."""
        await self._db.write(_TICKED, [(next_at, last_at, name)])

    async def pause(self, name: str) -> bool:
        """No more ticks; False: there is none of this name."""
        return bool(await self._db.write(_PAUSE, [(name,)]))

    async def resume(self, name: str, next_at: float) -> bool:
        """Ticks again, from `next_at` on."""
        return bool(await self._db.write(_RESUME, [(next_at, name)]))

    async def forget(self, name: str) -> bool:
        """Delete it."""
        return bool(await self._db.write(_FORGET, [(name,)]))
