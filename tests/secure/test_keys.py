"""Keys of unique jobs belong to a queue: a device, which has one of its own, takes no other."""

from __future__ import annotations

import pytest

from routeq_mqtt.wire.envelopes.envelope import Envelope
from tests.features.jobs import OneAtATime
from tests.secure.cluster import DEVICE, SecureCluster

pytestmark = pytest.mark.slow


async def test_a_device_takes_no_key_of_another_queue(secure: SecureCluster) -> None:
    """The producer's job is taken in, and not answered with the id of the device's."""
    await secure.scheduler()
    await secure.worker("default,pump-7", "--app", "tests.features.jobs")
    mine = Envelope(id="pump-7-1", job="OneAtATime", data={"key": "a"})
    for across in ({}, {"across_queues": True}):
        options = {"unique_key": OneAtATime(key="a").unique_key(), "unique_for": 3600, **across}
        async with secure.client(DEVICE) as device:
            sent = mine.evolve(options=options).encode()
            await device.connection.publish(secure.device_topic("pump-7"), sent)
    await secure.recorder.count("waits", 1)
    async with secure.bus() as bus:
        own = await bus.dispatch(OneAtATime(key="a"))
        assert own != "pump-7-1"
    await secure.recorder.wait(
        lambda: own in {event["id"] for event in secure.recorder.named("waits")}
    )
