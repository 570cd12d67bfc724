"""Dispatches the jobs of schedules, one for each tick.

The id of a tick's job is made of the schedule's name and the tick. Whoever comes to that tick
again, after a death between the job's commit and the schedule's, brings an id that is known.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.job.schedule import Schedule
from routeq_mqtt.scheduler.rows import StoreUnavailable
from routeq_mqtt.signal import Signal
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.intake import Intake
    from routeq_mqtt.scheduler.timetable import Entry, Timetable

log = logging.getLogger(__name__)

_STORE_AGAIN = 1.0
_LOOK_EVERY = 10.0
"""Seconds of waiting at most: the wall clock may be set meanwhile."""

_MISSED_AFTER = 10.0
"""Seconds; a tick that is late by more was missed."""

_MOST = 1_000
"""Missed ticks of one schedule that are made up for, at most: the latest ones."""


class Ticker:
    """See the module.

    Args:
        context: what the roles share.
        timetable: the schedules.
        intake: takes jobs in.
    """

    def __init__(self, context: Context, timetable: Timetable, intake: Intake) -> None:
        self._context = context
        self._timetable = timetable
        self._intake = intake
        self._changed = Signal()
        self.methods: dict[str, Callable[[dict[str, Any]], Awaitable[object]]] = {
            "schedule.announce": self._announce,
            "schedule.list": self._list,
            "schedule.run": self._run_now,
            "schedule.pause": self._pause,
            "schedule.resume": self._resume,
            "schedule.forget": self._forget,
        }

    async def run(self) -> None:
        """Dispatch what is due, then wait for the next tick; without schedules, for ever."""
        while True:
            since = self._changed.fired
            try:
                wait = await self.tick()
            except StoreUnavailable as error:
                log.error("cannot dispatch ticks: error=%s", error)
                await asyncio.sleep(_STORE_AGAIN)
                continue
            await self._changed.wait(wait, since=since)

    async def tick(self) -> float | None:
        """One pass; seconds until the next one, None: nothing is scheduled."""
        now = self._context.clock.now()
        waits = []
        for entry in await self._timetable.all():
            if entry.paused:
                continue
            if entry.next_at <= now:
                waits.append(await self._dispatch(entry, now) - now)
            else:
                waits.append(entry.next_at - now)
        return min((*waits, _LOOK_EVERY)) if waits else None

    async def _dispatch(self, entry: Entry, now: float) -> float:
        """The jobs first, then the schedule: see the module. Returns the next tick."""
        due, following = due_ticks(entry, now)
        for at in due:
            await self._send(entry, f"{entry.schedule.name}@{at:.0f}", at)
        self._context.hook("ticked")
        last = due[-1] if due else entry.last_at
        await self._timetable.ticked(entry.schedule.name, next_at=following, last_at=last)
        return following

    async def _send(self, entry: Entry, job_id: str, at: float) -> None:
        now = self._context.clock.now()
        envelope = Envelope.decode(entry.envelope)
        headers = envelope.headers | {"schedule": entry.schedule.name, "tick": at}
        envelope = envelope.evolve(id=job_id, dispatched_at=now, headers=headers)
        if self._context.guard.dresses:
            envelope = self._context.guard.dress(envelope, self._context.clock.wall())
        await self._intake.take(envelope)

    # -- requests ------------------------------------------------------------------------------

    async def _announce(self, args: dict[str, Any]) -> object:
        await self.announce(args["schedules"])
        return None

    async def announce(self, announced: list[dict[str, Any]]) -> None:
        """Take in what a process announces.

        Raises:
            ConfigurationError, UnreadableMessage, TypeError, LookupError: it makes no sense.
        """
        taken = []
        for said in announced:
            envelope = said["envelope"]
            Envelope.decode(envelope)
            how = {name: part for name, part in said.items() if name != "envelope"}
            taken.append((Schedule(**how), envelope))
        await self._timetable.announce(taken, self._context.clock.now())
        self._changed.fire()

    async def _list(self, args: dict[str, Any]) -> object:
        return [_shown(entry) for entry in await self._timetable.all()]

    async def _run_now(self, args: dict[str, Any]) -> object:
        entry = await self._one(args)
        job_id = new_id()
        await self._send(entry, job_id, self._context.clock.now())
        return job_id

    async def _pause(self, args: dict[str, Any]) -> object:
        return await self._timetable.pause((await self._one(args)).schedule.name)

    async def _resume(self, args: dict[str, Any]) -> object:
        """From the next tick on: those of the pause were not missed."""
        schedule = (await self._one(args)).schedule
        following = schedule.after(self._context.clock.now())
        await self._timetable.resume(schedule.name, following)
        self._changed.fire()
        return following

    async def _forget(self, args: dict[str, Any]) -> object:
        return await self._timetable.forget((await self._one(args)).schedule.name)

    async def _one(self, args: dict[str, Any]) -> Entry:
        entries = await self._timetable.all()
        found = [entry for entry in entries if entry.schedule.name == args["name"]]
        if not found:
            known = ", ".join(entry.schedule.name for entry in entries) or "none"
            raise LookupError(f"no schedule is named {args['name']!r}; there are: {known}")
        return found[0]


def due_ticks(entry: Entry, now: float) -> tuple[list[float], float]:
    """The ticks to dispatch now, oldest first, and the first one after them."""
    schedule = entry.schedule
    most = _MOST if schedule.missed == "all" else 1
    ticks: list[float] = []
    for tick in schedule.before(now):
        if tick < entry.next_at or len(ticks) == most:
            break
        ticks.append(tick)
    if schedule.missed == "skip":
        ticks = [tick for tick in ticks if now - tick <= _MISSED_AFTER]
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
