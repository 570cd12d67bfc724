"""Dispatches the jobs of schedules, one for each tick.

The id of a tick's job is made of the schedule's name and the tick. If the
scheduler dies between the job's commit and the schedule's, the repeated tick brings a known id.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.jobs.schedule import Schedule
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.store.passes import repeat
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.messages import requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.intake.intake import Intake
    from routeq_mqtt.scheduler.intake.schedule_table import Entry, ScheduleTable
    from routeq_mqtt.wire.messages.requests import AnnouncedSchedule

log: logging.Logger = logging.getLogger(__name__)

_LOOK_EVERY = 10.0
"""Seconds of waiting at most: the wall clock may be set meanwhile."""

_MISSED_AFTER = 10.0
"""Seconds; a tick that is late by more was missed."""

_AT_ONCE = 50
"""Ticks that are dispatched in one pass."""

_ANNOUNCED_WITHIN = 600.0
"""Seconds within which every worker has declared its schedules to a new scheduler."""

_NAMED = 50
"""Schedules that an error names, at most."""

_MOST = 1_000
"""Missed ticks of one schedule that are made up for, at most: the latest ones."""


class Schedules:
    """Dispatches the jobs of schedules that are due, one for each tick.

    Args:
        context: what the roles share.
        timetable: the schedules.
        intake: takes jobs in.
    """

    def __init__(self, context: Context, timetable: ScheduleTable, intake: Intake) -> None:
        self._context = context
        self._timetable = timetable
        self._intake = intake
        self._changed = Notifier()
        self._busy: tuple[float, float] | None = None
        """When the last pass began and ended."""
        self._began = context.clock.monotonic()
        self._announced: set[str] = set()
        self._doubted: set[str] = set()
        self.methods: requests.Methods = {
            requests.ScheduleAnnounce: self._announce,
            requests.ScheduleList: self._list,
            requests.ScheduleRun: self._run_now,
            requests.SchedulePause: self._pause,
            requests.ScheduleResume: self._resume,
            requests.ScheduleForget: self._forget,
        }

    async def run(self) -> None:
        """Dispatch what is due, then wait for the next tick; without schedules, for ever."""
        await repeat(self.tick, self._changed, "cannot dispatch ticks")

    async def tick(self) -> float | None:
        """One pass, of at most this many ticks; seconds until the next one, None: there is none.

        What is due now comes before what was missed, and that in its order: a schedule that makes
        up for a day keeps no other one waiting.
        """
        now = self._context.clock.now()
        try:
            due, later = await self._timetable.due(now, missed=now - _MISSED_AFTER, most=_AT_ONCE)
            left = _AT_ONCE
            waits = [] if later is None else [max(0.0, later - now)]
            for entry in due:
                if left <= 0:
                    return 0.0
                ticks, following = await self._dispatch(entry, now, left)
                left -= ticks
                waits.append(max(0.0, following - now))
        finally:
            self._busy = (now, self._context.clock.now())
        return min((*waits, _LOOK_EVERY)) if waits else None

    async def _dispatch(self, entry: Entry, now: float, most: int) -> tuple[int, float]:
        """Store the jobs first, then the schedule. Returns how many ticks, and the next one."""
        due, following = due_ticks(entry, now, self._busy)
        if len(due) > most:
            due, following = due[:most], due[most]
        name, last = entry.schedule.name, entry.last_at
        try:
            for at in due:
                if entry.schedule.missed != "all" and await self._waits(entry, last):
                    log.info("schedule=%s tick dropped, the job of the last one still waits", name)
                    continue
                await self._send(entry, _job_id(name, at), at)
                last = at
        except UnreadableMessage as error:
            log.error("cannot dispatch schedule=%s error=%s", name, error)
        self._doubt(name)
        self._context.hook("ticked")
        await self._timetable.ticked(name, next_at=following, last_at=last)
        return max(1, len(due)), following

    async def _waits(self, entry: Entry, last: float | None) -> bool:
        """Whether the job of the last tick waits for its turn; another one would wait behind it."""
        if last is None or not Envelope.decode(entry.envelope).options.get("limits"):
            return False
        row = await self._context.store.get(_job_id(entry.schedule.name, last))
        return row is not None and row.state in {"delayed", "parked", "limited"}

    def _doubt(self, name: str) -> None:
        """Log once that no worker declares a schedule that ticks: it was renamed, or removed."""
        age = self._context.clock.monotonic() - self._began
        if age > _ANNOUNCED_WITHIN and not {name} & (self._announced | self._doubted):
            self._doubted.add(name)
            log.warning(
                "schedule=%s ticks, but no worker has declared it since this scheduler started; "
                "if it was renamed or removed: routeq-mqtt schedule forget %s", name, name,
            )  # fmt: skip

    async def _send(self, entry: Entry, job_id: str, at: float) -> None:
        now = self._context.clock.now()
        envelope = Envelope.decode(entry.envelope)
        headers = envelope.headers | {"schedule": entry.schedule.name, "tick": at}
        envelope = envelope.evolve(id=job_id, dispatched_at=now, headers=headers)
        if self._context.guard.dresses:
            envelope = self._context.guard.dress(envelope, self._context.clock.wall())
        await self._intake.take(envelope)

    # -- requests ------------------------------------------------------------------------------

    async def _announce(self, asked: requests.ScheduleAnnounce) -> object:
        await self.announce(asked.schedules)
        return None

    async def announce(self, announced: Sequence[AnnouncedSchedule]) -> None:
        """Take in what a process announces.

        Raises:
            ConfigurationError, UnreadableMessage: it makes no sense.
        """
        taken = []
        for one in announced:
            Envelope.decode(one.envelope)
            how = {name: part for name, part in asdict(one).items() if name != "envelope"}
            taken.append((Schedule(**how), one.envelope))
        for before, after in await self._timetable.announce(taken, self._context.clock.now()):
            log.warning(
                "schedule=%s is replaced, it was %s and is %s; if two classes or versions declare "
                "it, give each a name of its own", after.name, before, after,
            )  # fmt: skip
        self._announced.update(schedule.name for schedule, _ in taken)
        self._changed.notify()

    async def _list(self, asked: requests.ScheduleList) -> object:
        return [
            _shown(entry) | {"declared": entry.schedule.name in self._announced}
            for entry in await self._timetable.all()
        ]

    async def _run_now(self, asked: requests.ScheduleRun) -> object:
        entry = await self._one(asked.name)
        job_id = new_id()
        await self._send(entry, job_id, self._context.clock.now())
        return job_id

    async def _pause(self, asked: requests.SchedulePause) -> object:
        return await self._timetable.pause((await self._one(asked.name)).schedule.name)

    async def _resume(self, asked: requests.ScheduleResume) -> object:
        """From the next tick on: those of the pause were not missed."""
        schedule = (await self._one(asked.name)).schedule
        following = schedule.after(self._context.clock.now())
        await self._timetable.resume(schedule.name, following)
        self._changed.notify()
        return following

    async def _forget(self, asked: requests.ScheduleForget) -> object:
        return await self._timetable.forget((await self._one(asked.name)).schedule.name)

    async def _one(self, name: str) -> Entry:
        found = await self._timetable.get(name)
        if found is None:
            names = [entry.schedule.name for entry in await self._timetable.all()]
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            known = ", ".join(names[:_NAMED]) + more or "none"
            raise LookupError(f"no schedule is named {name!r}; there are: {known}")
        return found


def _job_id(name: str, at: float) -> str:
    return f"{name}@{at:.0f}"


def due_ticks(
    entry: Entry, now: float, busy: tuple[float, float] | None = None
) -> tuple[list[float], float]:
    """The ticks to dispatch now, oldest first, and the first one after them.

    Args:
        entry: the schedule.
        now: UTC epoch seconds.
        busy: when this scheduler's last pass began and ended. What came due meanwhile is late, but
            was not missed, if that was just now: a machine may have slept since.
    """
    was_busy = busy is not None and now - busy[1] <= _MISSED_AFTER
    since = busy[0] if busy is not None and was_busy else now
    schedule = entry.schedule
    most = _MOST if schedule.missed == "all" else 1
    ticks: list[float] = []
    for tick in schedule.before(now):
        if tick < entry.next_at or len(ticks) == most:
            break
        ticks.append(tick)
    if schedule.missed == "skip":
        ticks = [tick for tick in ticks if tick > since or now - tick <= _MISSED_AFTER]
    return ticks[::-1], schedule.after(now)


def _shown(entry: Entry) -> dict[str, Any]:
    schedule = entry.schedule
    try:
        envelope = Envelope.decode(entry.envelope)
        job, queue = envelope.job, envelope.queue
    except (UnreadableMessage, ConfigurationError):
        job, queue = "?", None
    return {
        "name": schedule.name, "job": job, "queue": queue, "every": schedule.every,
        "cron": schedule.cron, "timezone": schedule.timezone, "missed": schedule.missed,
        "paused": entry.paused, "next_at": entry.next_at, "last_at": entry.last_at,
    }  # fmt: skip
