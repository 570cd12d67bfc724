"""One scheduler on a bus: a second one refuses to start, and says where the first one runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from routeq_mqtt.bus.rpc import Requests
from routeq_mqtt.bus.sender import Sender
from routeq_mqtt.errors import ConnectionFailed, NoScheduler, SchedulerRunning
from routeq_mqtt.presence.status import SchedulerStatus
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.seam import Transport

_ANSWERS_WITHIN = 2.0
_SHORT = 10.0
"""Seconds: a connection that lived less may have been taken over by another scheduler."""


async def refuse_second(transport: Transport, topics: Topics, clock: Clock) -> None:
    """Return if no scheduler answers on this bus.

    Its retained status is not enough: a broker that crashed sends no Last Will.

    Raises:
        SchedulerRunning: one does; says where.
    """
    other = await _who_answers(transport, topics, clock, ask_always=False)
    if other is not None:
        raise running(other)


class Place:
    """Notices, before each further connect, that another scheduler has our place.

    Two that started at once share one client identifier: each one's connect ends the other's
    connection (MQTT 5, 3.1.4). Whoever is ended asks who answers now; the one that was started
    later leaves.

    Args:
        transport, topics, clock: the bus.
        own: the status of this scheduler.

    Attributes:
        leave: set to the status of the scheduler that stays, if we must leave.
    """

    def __init__(
        self, transport: Transport, topics: Topics, clock: Clock, own: SchedulerStatus
    ) -> None:
        self.leave: asyncio.Future[SchedulerStatus] = asyncio.get_running_loop().create_future()
        self._transport = transport
        self._topics = topics
        self._clock = clock
        self._own = own
        self._connected_at: float | None = None

    def connected(self) -> None:
        """A connection was set up."""
        self._connected_at = self._clock.monotonic()

    async def check(self) -> None:
        """The gate of the link: returns when the place is ours, or never, with `leave` set."""
        if self._connected_at is None:
            return
        lived = self._clock.monotonic() - self._connected_at
        other = await _who_answers(
            self._transport, self._topics, self._clock, ask_always=lived < _SHORT
        )
        if other is None or other.instance == self._own.instance:
            return
        if (other.started_at, other.instance) < (self._own.started_at, self._own.instance):
            if not self.leave.done():
                self.leave.set_result(other)
            await asyncio.Future()


async def _who_answers(
    transport: Transport, topics: Topics, clock: Clock, *, ask_always: bool
) -> SchedulerStatus | None:
    """The scheduler that answers now; one whose status says that it has left is not asked."""
    sender = Sender(transport, topics, f"routeq-guard-{new_id()[-8:]}", clock=clock)
    sender.link.start()
    try:
        await sender.link.ready()
        status = sender.surroundings.scheduler
        if status is None or (status.state != "online" and not ask_always):
            return None
        answer = await Requests(sender).call("ping", timeout=_ANSWERS_WITHIN)
        known = {name: answer[name] for name in _TOLD if name in answer}
        return SchedulerStatus(state="online", **known) if "instance" in known else status
    except (NoScheduler, ConnectionFailed):
        return None
    finally:
        await sender.link.close()


_TOLD = ("instance", "host", "pid", "started_at", "db")
"""What a scheduler says of itself when it is asked."""


def running(status: SchedulerStatus) -> SchedulerRunning:
    """The error for a bus that has its scheduler already."""
    return SchedulerRunning(
        f"a scheduler runs on this bus already: host={status.host} pid={status.pid} "
        f"instance={status.instance} db={status.db}; stop it first"
    )
