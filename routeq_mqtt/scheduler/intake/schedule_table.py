"""Schedules in the scheduler's SQLite: when each is due next."""

from __future__ import annotations

import json
import logging
from bisect import bisect_left, bisect_right, insort
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.schedule import Schedule
from routeq_mqtt.wire.messages.complaints import Complaints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.scheduler.store.database import Database

log: logging.Logger = logging.getLogger(__name__)

# Another schedule under the same name begins anew; the same one goes on.
_ANNOUNCE = """
INSERT INTO schedules (name, schedule, envelope, next_at) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    next_at = CASE WHEN schedules.schedule = excluded.schedule
        THEN schedules.next_at ELSE excluded.next_at END,
    schedule = excluded.schedule, envelope = excluded.envelope
"""
_ALL = "SELECT name, schedule, envelope, next_at, last_at, paused FROM schedules"
_SOME = """
SELECT name, schedule, envelope, next_at, last_at, paused FROM schedules
WHERE name IN (SELECT value FROM json_each(?))
"""
_TICKED = "UPDATE schedules SET next_at = ?, last_at = ? WHERE name = ?"
_PAUSE = "UPDATE schedules SET paused = TRUE WHERE name = ?"
_RESUME = "UPDATE schedules SET paused = FALSE, next_at = ? WHERE name = ?"
_FORGET = "DELETE FROM schedules WHERE name = ?"


_LAST = chr(0x10FFFF)
"""Behind every name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A schedule as the store has it; moments are UTC epoch seconds."""

    schedule: Schedule
    envelope: bytes
    next_at: float
    last_at: float | None
    paused: bool


class ScheduleTable:
    """Schedules, safe on disk when a call returns.

    This process alone writes them, so they are read once; a pass costs what is due, however many
    there are. After a write that failed they are read again: it may have been done.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._complaints = Complaints(log)
        self._entries: dict[str, Entry] | None = None
        self._order: list[tuple[float, str]] = []

    async def announce(
        self, announced: Sequence[tuple[Schedule, bytes]], now: float
    ) -> list[tuple[Schedule, Schedule]]:
        """Take schedules in; one that is here already keeps its ticks, and whether it is paused.

        Returns:
            Those that took the place of another one of their name: what it was, and what it is.
        """
        entries = await self._load()
        known = {
            schedule.name: entries[schedule.name].schedule
            for schedule, _ in announced
            if schedule.name in entries
        }
        await self._write(
            _ANNOUNCE,
            [
                (schedule.name, json.dumps(asdict(schedule)), envelope, schedule.after(now))
                for schedule, envelope in announced
            ],
        )
        await self._read([schedule.name for schedule, _ in announced])
        pairs = ((known.get(schedule.name, schedule), schedule) for schedule, _ in announced)
        return [(before, after) for before, after in pairs if before != after]

    async def all(self) -> list[Entry]:
        """Every schedule, by name."""
        entries = await self._load()
        return [entries[name] for name in sorted(entries)]

    async def get(self, name: str) -> Entry | None:
        """One schedule, or None."""
        return (await self._load()).get(name)

    async def due(
        self, now: float, *, missed: float, most: int
    ) -> tuple[list[Entry], float | None]:
        """What is due at a moment, and when the first of the others is; None: there is none.

        Args:
            now: UTC epoch seconds.
            missed: what was due before comes last; each part is in its order.
            most: entries at most; those beyond them are due still.
        """
        entries, order = await self._load(), self._order
        until = bisect_right(order, (now, _LAST))
        since = bisect_left(order, (missed, ""), 0, until)
        chosen = order[since:until][:most]
        chosen += order[: min(since, most - len(chosen))]
        later = order[until][0] if until < len(order) else None
        if len(chosen) < until:
            later = now
        return [entries[name] for _, name in chosen], later

    async def ticked(self, name: str, *, next_at: float, last_at: float | None) -> None:
        """Its ticks up to now are dispatched."""
        await self._write(_TICKED, [(next_at, last_at, name)])
        self._replace(name, next_at=next_at, last_at=last_at)

    async def pause(self, name: str) -> bool:
        """No more ticks; False: there is none of this name."""
        done = bool(await self._write(_PAUSE, [(name,)]))
        self._replace(name, paused=True)
        return done

    async def resume(self, name: str, next_at: float) -> bool:
        """Ticks again, from `next_at` on."""
        done = bool(await self._write(_RESUME, [(next_at, name)]))
        self._replace(name, paused=False, next_at=next_at)
        return done

    async def forget(self, name: str) -> bool:
        """Delete it."""
        done = bool(await self._write(_FORGET, [(name,)]))
        self._set(name, None)
        return done

    # -- what is remembered --------------------------------------------------------------------

    async def _load(self) -> dict[str, Entry]:
        if self._entries is None:
            rows = await self._db.read(_ALL)
            self._entries, self._order = {}, []
            for row in rows:
                self._take(row)
        return self._entries

    async def _read(self, names: Sequence[str]) -> None:
        """As they are now in the database."""
        for row in await self._db.read(_SOME, (json.dumps(names),)):
            self._take(row)

    def _take(self, row: Sequence[Any]) -> None:
        try:
            entry = _entry(*row[1:])
        except (ConfigurationError, ValueError, TypeError) as error:
            # A time zone that is gone from the system, a later version, a damaged file.
            self._complaints.note(f"schedule {str(row[1])[:200]}", error)
            self._set(str(row[0]), None)
        else:
            self._set(entry.schedule.name, entry)

    async def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
        try:
            return await self._db.write(statement, rows)
        except BaseException:
            self._entries = None
            raise

    def _replace(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - fields of an entry
        before = (self._entries or {}).get(name)
        if before is not None:
            self._set(name, replace(before, **changes))

    def _set(self, name: str, entry: Entry | None) -> None:
        if self._entries is None:
            return
        before = self._entries.pop(name, None)
        if before is not None and not before.paused:
            at = bisect_left(self._order, (before.next_at, name))
            del self._order[at]
        if entry is not None:
            self._entries[name] = entry
            if not entry.paused:
                insort(self._order, (entry.next_at, name))


def _entry(
    schedule: str, envelope: bytes, next_at: float, last_at: float | None, paused: object
) -> Entry:
    return Entry(
        schedule=Schedule(**json.loads(schedule)),
        envelope=memoryview(envelope).tobytes(),  # a number is not taken for so many bytes
        next_at=float(next_at),
        last_at=last_at,
        paused=bool(paused),
    )
