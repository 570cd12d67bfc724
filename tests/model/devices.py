"""Messages of devices in the model: they have no id, and many are alike to the byte.

Nothing tells one of them from another, so they are counted: as many as the broker has taken in must
end, each under an id of its own, and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionFailed, ConnectionLost, UnreadableMessage
from routeq_mqtt.testing import MemoryBroker
from routeq_mqtt.testing.memory.matching import matches
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID, Topics
from routeq_mqtt.transport.base import Connection, ConnectOptions
from routeq_mqtt.wire.envelopes.record import FailedRecord

if TYPE_CHECKING:
    from routeq_mqtt.testing.memory import packets as mqtt
    from tests.model.machine import Sockets
    from tests.model.plan import Burst
    from tests.model.world import World

_AGAIN = 0.5


class CountingBroker(MemoryBroker):
    """Counts what it takes in of some payloads, each with the time."""

    def watch(self, payloads: set[bytes]) -> None:
        self.watched = payloads
        self.taken: list[tuple[float, bytes]] = []

    def _route(self, packet: mqtt.Publish) -> int:
        if packet.payload in self.watched and self._is_collected(packet.topic):
            self.taken.append((self._clock.monotonic(), packet.payload))
        return super()._route(packet)

    def _is_collected(self, topic: str) -> bool:
        router = self._router
        filters = [name for session in router.sessions.values() for name in session.plain]
        if not topic.startswith("$"):
            filters += [name for _, name in router._groups]
        return any(matches(name, topic) for name in filters)


class Devices:
    """What the devices of a plan send, and what must become of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._bursts = {burst.payload(): burst for burst in world.plan.bursts}
        self._names = {burst.key: payload for payload, burst in self._bursts.items()}
        self._wiped: Counter[bytes] = Counter()
        world.broker.watch(set(self._bursts))

    async def send(self, sockets: Sockets) -> None:
        """Each burst at its time; what is lost with a connection is not sent again."""
        connection: Connection | None = None
        for number, burst in enumerate(self._world.plan.bursts):
            await asyncio.sleep(max(0.0, burst.at - self._world.loop.now))
            while connection is None or connection.lost.done():
                connection = await self._connect(sockets, number)
            topics = Topics()
            where = topics.delivery if burst.by_hand else topics.intake
            if self._world.plan.sharing == "scheduler":
                where = topics.dealt_intake
            topic = where(burst.queue)
            sent = [connection.publish(topic, burst.payload()) for _ in range(burst.number)]
            await asyncio.gather(*sent, return_exceptions=True)

    async def _connect(self, sockets: Sockets, number: int) -> Connection | None:
        options = ConnectOptions(f"device-{number}")
        with contextlib.suppress(ConnectionFailed, ConnectionLost):
            return await sockets.connect(options, lambda message: None)
        await asyncio.sleep(_AGAIN)
        return None

    # -- the broker ----------------------------------------------------------------------------

    def wiped(self) -> None:
        """The broker is about to lose what it holds for the scheduler."""
        self._wiped.update(self._world.broker.holds(SCHEDULER_CLIENT_ID))

    # -- the judge -----------------------------------------------------------------------------

    def is_stored(self, job_id: str) -> bool | None:
        """Whether the scheduler took a job in; None: it is of no device."""
        for run in self._world.runs:
            if run.job_id == job_id and run.key in self._names:
                return not self._bursts[self._names[run.key]].by_hand
        return None

    def lost(self, db: sqlite3.Connection | None) -> list[str]:
        """Groups of which fewer have ended than came in."""
        ended = self._ended(db)
        found = []
        for payload, burst in self._bursts.items():
            came = [at for at, taken in self._world.broker.taken if taken == payload]
            missing = len(came) - ended[payload]
            if missing > self._forgotten(payload, burst, came):
                found.append(f"{burst.key}: {missing} of {len(came)}")
        return found

    def doubled(self, db: sqlite3.Connection | None) -> list[str]:
        """Groups of which more have ended than came in."""
        ended = self._ended(db)
        found = []
        for payload, burst in self._bursts.items():
            came = sum(taken == payload for _, taken in self._world.broker.taken)
            if ended[payload] > came and not self._may_double(burst):
                found.append(f"{burst.key}: {ended[payload]} of {came}")
        return found

    def _ended(self, db: sqlite3.Connection | None) -> Counter[bytes]:
        """How many ids have ended of each payload."""
        over = {(self._names.get(run.key), run.job_id) for run in self._world.runs if run.done_at}
        for job_id, record in db.execute("SELECT id, record FROM failed") if db else ():
            with contextlib.suppress(UnreadableMessage):
                over.add((FailedRecord.decode(record).envelope, job_id))
        return Counter(payload for payload, _ in over if payload is not None)

    def _forgotten(self, payload: bytes, burst: Burst, came: list[float]) -> float:
        """How many only a broker's memory held, when that was lost."""
        world = self._world
        if burst.by_hand and (world.broker_kills or world.wipes):
            return len(came)  # no row has them
        return self._wiped[payload] + sum(
            any(saved <= at <= back for saved, back in world.broker_kills) for at in came
        )

    def _may_double(self, burst: Burst) -> bool:
        """The broker came back with an older state; by hand, also whoever held it may have died."""
        if self._world.broker_kills:
            return True
        return burst.by_hand and any(
            victim in kind
            for kind in self._world.verdict.faults
            for victim in ("worker", "broker", "cut")
        )
