"""A client that takes the scheduler's client identifier, again and again, is named loudly."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from routeq_mqtt import Bus
from routeq_mqtt.doctor import checks
from routeq_mqtt.doctor.patient import Patient
from routeq_mqtt.presence.status import TAKEN_OVER
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import ConnectOptions
from tests.cluster.cluster import Cluster
from tests.cluster.recorder import TIMEOUT
from tests.scheduler.test_seven_days import running


async def knocks(bus: Bus, transport: MemoryTransport) -> None:
    """As a client that reconnects for ever: whenever the scheduler is back, it is there again."""
    options = ConnectOptions(SCHEDULER_CLIENT_ID, persistent=True)
    around = bus.sender.surroundings
    while not (around.scheduler and around.scheduler.trouble):
        since = around.scheduler_changed.fired
        if around.scheduler_online:
            connection = await transport.connect(options, lambda message: None)
            await connection.lost
        await around.scheduler_changed.wait(since=since)


async def test_the_log_the_status_and_doctor_name_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings()
    transport = MemoryTransport(MemoryBroker())
    scheduler = Scheduler(transport, SchedulerOptions(db=tmp_path / "routeq.db"))
    async with Bus(settings=settings, transport=transport) as bus, running(scheduler):
        with caplog.at_level(logging.ERROR):
            async with asyncio.timeout(TIMEOUT):
                await knocks(bus, transport)
        status = bus.sender.surroundings.scheduler
        assert status is not None
        assert status.trouble == f"{TAKEN_OVER} {SCHEDULER_CLIENT_ID}"
        assert "another client connects as client=routeq-scheduler" in caplog.text
        [found] = await checks.scheduler(Patient(bus, settings))
        assert found.verdict == "failed"
        assert TAKEN_OVER in found.found
        assert "find it by this identifier in the broker's log" in found.fix


async def test_each_broker_says_that_it_was_a_takeover(cluster: Cluster) -> None:
    """What the error hangs on; the tests above count it."""
    settings = Settings(url=cluster.url)
    transport = AioTransport(settings.address())
    options = ConnectOptions(SCHEDULER_CLIENT_ID, persistent=True)
    first = await transport.connect(options, lambda message: None)
    second = await transport.connect(options, lambda message: None)
    async with asyncio.timeout(TIMEOUT):
        cause = await first.lost
    assert str(cause).partition(": ")[2].lower() in {
        "session taken over",
        "the broker closed the connection",  # mosquitto 2.0.11
    }
    await second.close(end_session=True)
