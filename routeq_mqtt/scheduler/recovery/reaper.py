"""Finds workers that are gone and adopts their sessions."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionFailed, ConnectionLost
from routeq_mqtt.presence.fleet import Member
from routeq_mqtt.presence.status import SILENT_AFTER, encode
from routeq_mqtt.scheduler.recovery.adoption import Adoption
from routeq_mqtt.scheduler.recovery.deaths import charge_deaths
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.transport.backoff import backoff_delay

if TYPE_CHECKING:
    from routeq_mqtt.presence.status import WorkerState, WorkerStatus
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.recovery.census import Census
    from routeq_mqtt.transport.base import Connection, Transport

log: logging.Logger = logging.getLogger(__name__)

LOST_AFTER = 1.0
"""Seconds between a worker's Last Will and its adoption: a short network cut may heal."""

_COMES_BACK_WITHIN = 3.0
"""Seconds for a worker that we find lost when we connect: a broker that restarts says so of all."""
PATIENCE = 6.0
"""Seconds after a reconnect of our own in which no lost worker is adopted: a broker that stops
sends every Last Will, and its workers are back within the longest wait of their links, 5 s."""

_REMEMBERED = 3_600.0
_AGAIN = 0.5
_LONGEST_WAIT = 60.0
"""Seconds between two adoptions of one worker that end by an error, at most."""

_LATE = 2.0

_AT_ONCE = 20
"""Sessions that are drained at once. Each takes a connection and some memory, and thousands of
workers may be gone together; the others wait, and requests are answered meanwhile. One that stalls
gives its turn back (`adoption.STALLED`) and waits behind them."""

_LONG_LOOK = 0.001
"""Seconds that a look at the fleet may take without a rest behind it."""

_SHARE = 4
"""Times as long as a long look is the rest: a large fleet leaves time for others."""

_LONGEST_REST = 0.5
"""Seconds: we may have been stopped in the middle of a look."""


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
        self._unowned_since: dict[str, float] = {}
        self._adopting: set[str] = set()
        self._failed: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}
        self._tasks = Tasks()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._forget_at: dict[str, float] = {}
        self._patient_until = 0.0

    async def run(self) -> None:
        """Look whenever the fleet changed, and when a worker may have fallen silent."""
        try:
            await self._look_again_and_again()
        finally:
            self._tasks.cancel()

    async def _look_again_and_again(self) -> None:
        clock = self._context.clock
        while True:
            began, since = clock.monotonic(), self._context.fleet_changed.fired
            wait = self.look()
            slept_at = clock.monotonic()
            if slept_at - began > _LONG_LOOK:
                await asyncio.sleep(min(_SHARE * (slept_at - began), _LONGEST_REST))
                slept_at = clock.monotonic()
            changed = await self._context.fleet_changed.wait(wait, since=since)
            if not changed and wait is not None:
                self._forgive(clock.monotonic() - slept_at - wait)

    def reconnected(self) -> None:
        """Our connection broke and is back: most likely everybody's did."""
        self._patient_until = self._context.clock.monotonic() + PATIENCE
        self._unowned_since.clear()

    def announce(self, connection: Connection) -> None:
        """At each connect: who was adopted.

        A broker that lost its memory has lost that word, too, and a worker that was suspended
        meanwhile would go on with jobs that others have now.
        """
        for member in self._context.fleet.members.values():
            status = member.status
            if status is not None and status.state in {"adopting", "adopted"}:
                self._fence(connection, status)

    def _forgive(self, late: float) -> None:
        """We were stopped or starved ourselves: silence of others says nothing."""
        if late > _LATE:
            now = self._context.clock.monotonic()
            for member in self._context.fleet.members.values():
                member.heard_at = now
            self._unowned_since.clear()

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
        waits += self._look_for_unowned(now)
        return min(waits, default=None)

    def _look_for_unowned(self, now: float) -> list[float]:
        """Adopt sessions whose worker has had no status for longer than it lives without one.

        They are members of their groups: the broker gives them jobs as long as it keeps them.
        """
        waits = []
        unowned = [s for s in self._context.sessions.unowned() if s.id not in self._adopting]
        before, self._unowned_since = self._unowned_since, {}
        for status in unowned:
            since = self._unowned_since[status.id] = before.get(status.id, now)
            due = max(since + SILENT_AFTER, self._not_before.get(status.id, now))
            if now < due:
                waits.append(max(0.01, due - now))
                continue
            log.warning(
                "worker=%s has no status: adopting its sessions=%s",
                status.id, ",".join(status.sessions),
            )  # fmt: skip
            self._adopt(self._context.fleet.members.get(status.id) or Member(), status)
        return waits

    def _look_at(self, worker: str, member: Member, now: float) -> float | None:
        status = member.status
        if status is None or worker in self._adopting:
            return None
        if status.state == "adopted":
            return self._forget(worker, now)
        if now < self._not_before.get(worker, now):
            return self._not_before[worker] - now
        if status.state == "online":
            silent = now - member.heard_at
            self._lost_since.pop(worker, None)
            if silent < SILENT_AFTER:
                return SILENT_AFTER - silent
            log.warning("no heartbeat from worker=%s for %.0f s", worker, silent)
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
        self._context.fleet.forget(worker)
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
        worker = status.id
        self._adopting.add(worker)

        def failed(error: BaseException) -> None:
            self._failed[worker] += 1
            wait = backoff_delay(self._failed[worker], max_wait=_LONGEST_WAIT)
            self._not_before[worker] = self._context.clock.monotonic() + wait

        def over(ended: asyncio.Task[None]) -> None:
            self._adopting.discard(worker)
            if not ended.cancelled() and ended.exception() is None:
                self._failed.pop(worker, None)
                self._not_before.pop(worker, None)
            self._context.fleet_changed.notify()

        adoption = self._adopt_all(member, status)
        task = self._tasks.start(adoption, f"adopt-{worker}", failed=failed)
        task.add_done_callback(over)

    async def _adopt_all(self, member: Member, status: WorkerStatus) -> None:
        """All sessions of a worker; only then is its status set."""
        polite = status.state == "stopped"
        log.info("adopting worker=%s state=%s", status.id, status.state)
        if not await self._begin(status):
            return
        running = dict(member.load.running)
        known = dict(zip(status.sessions, status.queues, strict=False))
        for session, queue in (self._context.sessions.of(status.id) | known).items():
            await self._adopt_session(session, queue, running, charge=not polite)
            await self._census.adopted(session)
        if self._context.surroundings.deals and not polite:
            await self._charge(status.id, running)
        await self._census.ask()  # a row that it had and its broker forgot is nowhere now
        await self._forget_sessions(status.id)
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
        adopting = replace(status, state="adopting", at=self._context.clock.now())
        try:
            for published in self._fence(connection, adopting):
                await published
        except ConnectionLost:
            return False
        return True

    def _fence(
        self, connection: Connection, status: WorkerStatus
    ) -> tuple[asyncio.Future[int], asyncio.Future[int]]:
        """Tell a worker that its sessions are adopted, in its status and on a topic of its own.

        A worker that reconnects while the broker still holds its old connection lets the Last Will
        of that one overwrite the status.
        """
        topics = self._context.topics
        return (
            connection.publish(topics.worker(status.id), encode(status), retain=True),
            connection.publish(topics.fence(status.id), b"adopted", retain=True),
        )

    async def _adopt_session(
        self, session: str, queue: str, running: dict[str, int], *, charge: bool
    ) -> None:
        while True:
            adoption = Adoption(
                self._context, self._transport, session, queue, running, charge=charge
            )
            try:
                async with self._turns:
                    await adoption.run()
            except (ConnectionFailed, StoreUnavailable) as error:
                log.warning("adoption repeats session=%s cause=%s", session, error)
                await asyncio.sleep(_AGAIN)
            else:
                log.info("adopted session=%s jobs=%d", session, adoption.drained)
                return

    async def _charge(self, worker: str, running: dict[str, int]) -> None:
        while True:
            try:
                await charge_deaths(self._context, running)
            except StoreUnavailable as error:
                log.warning("cannot charge what ran worker=%s cause=%s", worker, error)
                await asyncio.sleep(_AGAIN)
            else:
                return

    async def _forget_sessions(self, worker: str) -> None:
        while True:
            try:
                return await self._context.sessions.forget(worker)
            except StoreUnavailable as error:
                log.warning("cannot forget sessions worker=%s cause=%s", worker, error)
                await asyncio.sleep(_AGAIN)

    async def _say(self, status: WorkerStatus, state: WorkerState) -> None:
        said = replace(status, state=state, at=self._context.clock.now())
        await self._context.say(self._context.topics.worker(status.id), encode(said))
