"""Finds workers that are gone and adopts their sessions."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionFailed, ConnectionLost
from routeq_mqtt.presence.status import SILENT_AFTER, encode
from routeq_mqtt.scheduler.adoption import Adoption
from routeq_mqtt.scheduler.rows import StoreUnavailable

if TYPE_CHECKING:
    from routeq_mqtt.presence.fleet import Member
    from routeq_mqtt.presence.status import WorkerState, WorkerStatus
    from routeq_mqtt.scheduler.census import Census
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.transport.seam import Transport

log = logging.getLogger(__name__)

LOST_AFTER = 1.0
"""Seconds between a worker's Last Will and its adoption: a short cut of the network may mend."""

_COMES_BACK_WITHIN = 3.0
"""Seconds for a worker that we find lost when we connect: a broker that restarts says so of all."""
PATIENCE = 6.0
"""Seconds after a reconnect of our own in which no lost worker is adopted: a broker that stops
sends every Last Will, and its workers are back within the longest wait of their links, 5 s."""

_REMEMBERED = 3_600.0
_AGAIN = 0.5
_LATE = 2.0


class Reaper:
    """Adopts what lost and stopped workers left.

    Args:
        context: what the roles share.
        transport: connects in a dead session's name.
        census: learns that an adopted session has nothing more to say.
        lost_after: seconds a lost worker has to come back; default 1.
    """

    def __init__(
        self,
        context: Context,
        transport: Transport,
        census: Census,
        *,
        lost_after: float = LOST_AFTER,
    ) -> None:
        self._context = context
        self._transport = transport
        self._census = census
        self._lost_after = lost_after
        self._lost_since: dict[str, float] = {}
        self._adopting: dict[str, asyncio.Task[None]] = {}
        self._forget_at: dict[str, float] = {}
        self._patient_until = 0.0

    async def run(self) -> None:
        """Look whenever the fleet changed, and when a worker may have fallen silent."""
        try:
            await self._look_again_and_again()
        finally:
            for adoption in self._adopting.values():
                adoption.cancel()

    async def _look_again_and_again(self) -> None:
        clock = self._context.clock
        while True:
            wait = self.look()
            slept_at = clock.monotonic()
            changed = await self._context.fleet_changed.wait(wait)
            if not changed and wait is not None:
                self._forgive(clock.monotonic() - slept_at - wait)

    def reconnected(self) -> None:
        """Our connection broke and is back: most likely everybody's did."""
        self._patient_until = self._context.clock.monotonic() + PATIENCE

    def _forgive(self, late: float) -> None:
        """We were stopped or starved ourselves: silence of others says nothing."""
        if late > _LATE:
            now = self._context.clock.monotonic()
            for member in self._context.fleet.members.values():
                member.heard_at = now

    def spare(self, worker: str) -> None:
        """Its status was lost already when we connected: perhaps it is just coming back, as we are.

        A polite stop of the broker sends every Last Will, and keeps them over its restart.
        """
        now = self._context.clock.monotonic()
        self._lost_since[worker] = now + _COMES_BACK_WITHIN - self._lost_after

    def look(self) -> float | None:
        """One pass over the fleet; seconds until the next one is due, None: when it changes."""
        if self._context.link.connection is None:
            return None  # we know nothing; whoever was lost may be back before us
        now = self._context.clock.monotonic()
        waits = []
        for worker, member in list(self._context.fleet.members.items()):
            wait = self._look_at(worker, member, now)
            if wait is not None:
                waits.append(max(0.01, wait))
        return min(waits, default=None)

    def _look_at(self, worker: str, member: Member, now: float) -> float | None:
        status = member.status
        if status is None or worker in self._adopting:
            return None
        if status.state == "adopted":
            return self._forget(worker, now)
        if status.state == "online":
            silent = now - member.heard_at
            self._lost_since.pop(worker, None)
            if silent < SILENT_AFTER:
                return SILENT_AFTER - silent
            log.warning("worker=%s is silent for %.0f s", worker, silent)
        elif status.state == "lost":
            since = self._lost_since.setdefault(worker, now)
            due = max(since + self._lost_after, self._patient_until)
            if now < due:
                return due - now
        self._lost_since.pop(worker, None)
        self._adopt(member, status)
        return None

    def _forget(self, worker: str, now: float) -> float | None:
        """The word "adopted" stays a while, for a worker that comes back late."""
        forget_at = self._forget_at.setdefault(worker, now + _REMEMBERED)
        if now < forget_at:
            return forget_at - now
        del self._forget_at[worker]
        self._context.fleet.members.pop(worker, None)
        connection = self._context.link.connection
        if connection is not None:
            for topic in (
                self._context.topics.worker(worker),
                self._context.topics.running(worker),
                self._context.topics.fence(worker),
            ):
                connection.publish(topic, b"", retain=True)
        return None

    def _adopt(self, member: Member, status: WorkerStatus) -> None:
        task = asyncio.create_task(self._adopt_all(member, status), name=f"adopt-{status.id}")
        self._adopting[status.id] = task

        def over(ended: asyncio.Task[None]) -> None:
            del self._adopting[status.id]
            if not ended.cancelled() and ended.exception() is not None:
                log.error("adoption failed worker=%s error=%r", status.id, ended.exception())
            self._context.fleet_changed.fire()

        task.add_done_callback(over)

    async def _adopt_all(self, member: Member, status: WorkerStatus) -> None:
        """All sessions of a worker; only then is its status set."""
        polite = status.state == "stopped"
        log.info("adopting worker=%s state=%s", status.id, status.state)
        if not await self._begin(status):
            return
        running = dict(member.load.running)
        for queue, session in zip(status.queues, status.sessions, strict=True):
            await self._adopt_session(session, queue, running, charge=not polite)
            await self._census.adopted(session)
        await self._census.ask()  # a row that it had and its broker forgot is nowhere now
        await self._say(status, "adopted")
        await self._context.say(self._context.topics.running(status.id), b"")
        if polite:
            await self._context.say(self._context.topics.worker(status.id), b"")
            await self._context.say(self._context.topics.fence(status.id), b"")

    async def _begin(self, status: WorkerStatus) -> bool:
        """Fence the worker; not over a reconnect, since it may have come back meanwhile."""
        connection = self._context.link.connection
        if connection is None:
            return False
        said = encode(replace(status, state="adopting", at=self._context.clock.now()))
        topics = self._context.topics
        # A worker that comes back while the broker still holds its old connection lets that one's
        # Last Will speak over the status, so the fence stands on a topic of its own.
        saying = connection.publish(topics.worker(status.id), said, retain=True)
        fencing = connection.publish(topics.fence(status.id), b"adopted", retain=True)
        try:
            await saying
            await fencing
        except ConnectionLost:
            return False
        return True

    async def _adopt_session(
        self, session: str, queue: str, running: dict[str, int], *, charge: bool
    ) -> None:
        while True:
            adoption = Adoption(
                self._context, self._transport, session, queue, running, charge=charge
            )
            try:
                await adoption.run()
            except (ConnectionFailed, StoreUnavailable) as error:
                log.warning("adoption repeats session=%s cause=%s", session, error)
                await asyncio.sleep(_AGAIN)
            else:
                log.info("adopted session=%s jobs=%d", session, adoption.drained)
                return

    async def _say(self, status: WorkerStatus, state: WorkerState) -> None:
        said = replace(status, state=state, at=self._context.clock.now())
        await self._context.say(self._context.topics.worker(status.id), encode(said))
