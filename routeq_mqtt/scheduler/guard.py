"""One scheduler on a bus: a second one refuses to start, and says where the first one runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from routeq_mqtt.bus.rpc import Requests
from routeq_mqtt.bus.sender import Sender
from routeq_mqtt.errors import NoScheduler, SchedulerRunning
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.presence.status import SchedulerStatus
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.seam import Transport

_ANSWERS_WITHIN = 2.0


async def refuse_second(transport: Transport, topics: Topics, clock: Clock) -> None:
    """Return if no scheduler answers on this bus.

    Its retained status is not enough: a broker that crashed sends no Last Will.

    Raises:
        SchedulerRunning: one does; says where.
    """
    sender = Sender(transport, topics, f"routeq-guard-{new_id()[-8:]}", clock=clock)
    sender.link.start()
    try:
        await sender.link.ready()
        status = sender.surroundings.scheduler
        if status is None or status.state != "online":
            return
        await Requests(sender).call("ping", timeout=_ANSWERS_WITHIN)
    except (NoScheduler, asyncio.CancelledError):
        return
    finally:
        await sender.link.close()
    raise running(status)


def running(status: SchedulerStatus) -> SchedulerRunning:
    """The error for a bus that has its scheduler already."""
    return SchedulerRunning(
        f"a scheduler runs on this bus already: host={status.host} pid={status.pid} "
        f"instance={status.instance} db={status.db}; stop it first"
    )
