"""What a worker may believe of its lease."""

from __future__ import annotations

import asyncio

from routeq_mqtt.clock import SystemClock
from routeq_mqtt.presence.status import WorkerStatus
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.topics import Topics
from routeq_mqtt.worker.presence import Presence


async def test_a_lease_ends_with_the_connection_and_is_renewed_by_the_next() -> None:
    """The broker may have fired the Last Will with it, and adoption waits for a second only."""
    broker, clock = MemoryBroker(), SystemClock()
    presence = Presence(
        MemoryTransport(broker),
        Topics(),
        clock,
        WorkerStatus(id="w", state="online", queues=["default"]),
        fenced=lambda: None,
        pulse=lambda: 0.0,
        stall_limit=10.0,
    )
    presence.start()
    try:
        assert await presence.lease()
        assert presence.sound_until > clock.monotonic()
        connection = await presence.link.ready()
        known = asyncio.get_running_loop().create_future()
        connection.lost.add_done_callback(lambda lost: known.set_result(presence.sound_until))
        broker.cut("w")
        assert await known < clock.monotonic()
        assert await presence.lease()
        assert presence.sound_until > clock.monotonic()
    finally:
        await presence.leave("stopped")
