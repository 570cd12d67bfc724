"""One scheduler on a bus: a second one refuses to start, and says where the first one runs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from routeq_mqtt.bus.send.rpc import Requests
from routeq_mqtt.bus.send.sender import Sender
from routeq_mqtt.errors import (
    ConnectionFailed,
    NoScheduler,
    RequestFailed,
    RouteqError,
    SchedulerRunning,
)
from routeq_mqtt.presence.status import TAKEN_OVER, SchedulerStatus
from routeq_mqtt.scheduler.lifecycle.epoch import decode_claim
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.messages.requests import Ping

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.scheduler.lifecycle.epoch import Epoch
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection, Message, Transport
    from routeq_mqtt.wire.messages.epoch import EpochClaim

log: logging.Logger = logging.getLogger(__name__)

_ANSWERS_WITHIN = 2.0
_SHORT = 10.0
"""Seconds: a connection that lived less may have been taken over by another scheduler."""

_TAKEN, _CLOSED = 3, 5
"""Short connections in a row before it is worth an error: those of which the broker says that
another client ended them, and those that it ended without a reason, as mosquitto 2.0.11 does."""

_CALM_AFTER = 60.0
"""Seconds of one connection after which that counts as over, and between two lines about it."""

_LEAVES_WITHIN = 10.0
"""Seconds in which a scheduler that was taken over finds it out: it renews its lease before."""

_ASK_AGAIN = 0.2
_LOOK_EVERY = 10.0

_MOST_LINEAGES = 10_000
"""That are remembered: there is one for each database that has been used on this bus."""


@dataclass(slots=True)
class Others:
    """What a bus says of other schedulers.

    Attributes:
        scheduler: the one that answers now.
        any_before: the broker knows that a scheduler has run.
        epochs: what is published of each lineage of databases.
    """

    scheduler: SchedulerStatus | None = None
    any_before: bool = True
    epochs: dict[str, EpochClaim] = field(default_factory=dict)


async def refuse_second(
    transport: Transport, topics: Topics, clock: Clock, *, ours: str | None = None
) -> dict[str, EpochClaim]:
    """Return if no scheduler answers on this bus; the epochs that are published there.

    Its retained status is not enough: a broker that crashed sends no Last Will.

    Args:
        transport: how to reach the broker.
        topics: of the bus.
        clock: for how long to wait.
        ours: the database whose lease we have. A scheduler of it that answers was frozen while we
            took over; it leaves once it finds that out, and has some seconds for it.

    Raises:
        SchedulerRunning: one does; says where.
    """
    ends = clock.monotonic() + _LEAVES_WITHIN
    while True:
        others = await _look(transport, topics, clock, ask_always=False)
        if others.scheduler is None:
            return others.epochs
        if others.scheduler.db != ours or clock.monotonic() > ends:
            raise running(others.scheduler)
        log.warning("a leader that lost its database still answers: %s", others.scheduler.host)
        await asyncio.sleep(_ASK_AGAIN)


class InstanceLock:
    """Notices, before each further connect, that another scheduler has our place.

    Two that started at once share one client identifier: each one's connect ends the other's
    connection (MQTT 5, 3.1.4). The one that was disconnected asks who answers now. If both use
    copies of one database, the one with the older epoch leaves: it may have been suspended for
    hours. Otherwise the one that was started later leaves.

    Args:
        transport, topics, clock: the bus.
        own: the status of this scheduler.
        epoch: of its database.
        taken: called with the trouble if a client that is not a scheduler takes our place again and
            again; with an empty text when it has stopped.
        subscribe: makes the scheduler's session, without a Last Will; awaited if the broker has
            lost its memory.

    Attributes:
        leave: set to the error to leave with, if we must.
    """

    def __init__(
        self,
        transport: Transport,
        topics: Topics,
        clock: Clock,
        own: SchedulerStatus,
        epoch: Epoch,
        taken: Callable[[str], None],
        subscribe: Callable[[], Awaitable[None]],
    ) -> None:
        self.leave: asyncio.Future[RouteqError] = asyncio.get_running_loop().create_future()
        self._transport = transport
        self._topics = topics
        self._clock = clock
        self._own = own
        self._epoch = epoch
        self._taken = taken
        self._subscribe = subscribe
        self._is_first = True
        self._times = 0
        self._logged_at: float | None = None
        self._connection: Connection | None = None
        self._connected_at: float | None = None

    def connected(self, connection: Connection) -> None:
        """A connection is set up."""
        self._connection = connection
        self._connected_at = self._clock.monotonic()

    async def run(self) -> None:
        """Wait until we must leave, and raise why.

        Raises:
            SchedulerRunning, StaleDatabase: another scheduler has our place.
        """
        while not self.leave.done():
            await asyncio.wait({self.leave}, timeout=_LOOK_EVERY)
            self._calm_down()
        raise self.leave.result()

    async def check(self) -> None:
        """The gate of the link: returns when the place is ours, or never, with `leave` set.

        On a broker that has lost its memory the session comes first, as at the start: the Last Will
        of a scheduler that died between CONNECT and SUBSCRIBE would say that a session collects.
        """
        if self._is_first:
            self._is_first = False
            return
        now = self._clock.monotonic()
        lived = now - (self._connected_at if self._connected_at is not None else now)
        others = await _look(self._transport, self._topics, self._clock, ask_always=lived < _SHORT)
        deposed = self._epoch.deposed_by(others.epochs.get(self._epoch.lineage))
        if deposed is not None:
            await self._leave(deposed)
        other = others.scheduler
        if other is None or other.instance == self._own.instance:
            self._count(lived)
            if not others.any_before:
                await self._subscribe()
            return
        if (other.started_at, other.instance) < (self._own.started_at, self._own.instance):
            await self._leave(running(other))

    def _count(self, lived: float) -> None:
        """No scheduler has our place; whether another client takes it, again and again."""
        connection = self._connection
        if lived >= _SHORT or connection is None or not connection.lost.done():
            self._times = 0
            return
        cause = str(connection.lost.result()).lower()
        certain = "taken over" in cause
        if not certain and "closed the connection" not in cause:
            return
        self._times += 1
        now = self._clock.monotonic()
        if self._times < (_TAKEN if certain else _CLOSED):
            return
        if self._logged_at is None or now - self._logged_at >= _CALM_AFTER:
            self._logged_at = now
            log.error(
                "the broker ended %d connections in a row, %s another client connects as "
                "client=%s; what it receives is lost: find it in the broker's log, and stop it",
                self._times, "because" if certain else "probably because", SCHEDULER_CLIENT_ID,
            )  # fmt: skip
        self._taken(f"{TAKEN_OVER} {SCHEDULER_CLIENT_ID}")

    def _calm_down(self) -> None:
        if self._logged_at is None or self._connection is None or self._connection.lost.done():
            return
        if self._clock.monotonic() - (self._connected_at or 0.0) >= _CALM_AFTER:
            self._times, self._logged_at = 0, None
            log.warning("the broker ends our connections no more")
            self._taken("")

    async def _leave(self, error: RouteqError) -> None:
        if not self.leave.done():
            self.leave.set_result(error)
        await asyncio.Future()

    def hear(self, message: Message) -> None:
        """What was published of our database's epoch, while we are connected."""
        deposed = self._epoch.deposed_by(decode_claim(message.payload))
        if deposed is not None and not self.leave.done():
            self.leave.set_result(deposed)


async def _look(transport: Transport, topics: Topics, clock: Clock, *, ask_always: bool) -> Others:
    """Who answers now, and what is published; one whose status says that it left is not asked."""
    others = Others()
    sender = Sender(transport, topics, f"routeq-guard-{new_id()[-8:]}", clock=clock)

    def fold(message: Message) -> None:
        lineage, claim = topics.lineage_of(message.topic), decode_claim(message.payload)
        if lineage and claim is not None and len(others.epochs) < _MOST_LINEAGES:
            others.epochs[lineage] = claim

    sender.link.start()
    try:
        await sender.link.ready()
        await sender.listen([topics.epoch("+")], fold)
        await _arrived(sender)
        status = sender.surroundings.scheduler
        others.any_before = status is not None or sender.surroundings.blind
        if status is None or (status.state != "online" and not ask_always):
            return others
        pong = await Requests(sender, None, clock).ask(Ping(), timeout=_ANSWERS_WITHIN)
        told = {name: getattr(pong, name) for name in _TOLD}
        others.scheduler = SchedulerStatus(state="online", **told)
    except RequestFailed:
        others.scheduler = sender.surroundings.scheduler  # one answers, whatever it says
    except (NoScheduler, ConnectionFailed):
        pass
    finally:
        await sender.link.close()
    return others


async def _arrived(sender: Sender) -> None:
    """Retained messages have arrived, unless access control hides our own mark from us."""
    try:
        async with asyncio.timeout(_ANSWERS_WITHIN):
            await sender.caught_up()
    except TimeoutError:
        return


_TOLD = ("instance", "host", "pid", "started_at", "db")
"""What a scheduler says of itself when it is asked."""


def running(status: SchedulerStatus) -> SchedulerRunning:
    """The error for a bus that has its scheduler already."""
    return SchedulerRunning(
        f"a scheduler runs on this bus already: host={status.host} pid={status.pid} "
        f"instance={status.instance} db={status.db}; stop it first"
    )
