"""The scheduler's session has its subscriptions before a Last Will can say that it collects."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID
from routeq_mqtt.transport.base import Connection, ConnectOptions, OnMessage
from tests.cluster.recorder import TIMEOUT
from tests.scheduler.test_seven_days import running


class Watched(MemoryTransport):
    """Notes of each connect of the scheduler: had it a Last Will, and was its session there?"""

    def __init__(self, broker: MemoryBroker, *, mqtt5: bool) -> None:
        super().__init__(broker, mqtt5=mqtt5)
        self.seen: asyncio.Queue[tuple[bool, bool]] = asyncio.Queue()

    async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
        connection = await super().connect(options, on_message)
        if options.client_id == SCHEDULER_CLIENT_ID:
            self.seen.put_nowait((options.will is not None, connection.session_present))
        return connection

    async def until_will(self) -> list[tuple[bool, bool]]:
        """Every connect up to the next one with a Last Will."""
        connects: list[tuple[bool, bool]] = []
        async with asyncio.timeout(TIMEOUT):
            while not connects or not connects[-1][0]:
                connects.append(await self.seen.get())
        return connects


@pytest.mark.parametrize("mqtt5", [True, False], ids=["5", "3.1.1"])
async def test_a_broker_without_its_memory_gets_the_session_before_the_last_will(
    tmp_path: Path, *, mqtt5: bool
) -> None:
    """Killed in between, it left word that a session collects, and none did (model seed 100473)."""
    broker = MemoryBroker()
    transport = Watched(broker, mqtt5=mqtt5)
    options = SchedulerOptions(db=tmp_path / "routeq.db")
    async with running(Scheduler(transport, options)):
        assert await transport.until_will() == [(False, False), (True, True)]
        broker.stop()
        broker.start()
        assert await transport.until_will() == [(True, True)]
        broker.stop()
        broker.start(empty=True)
        assert await transport.until_will() == [(False, False), (True, True)]
