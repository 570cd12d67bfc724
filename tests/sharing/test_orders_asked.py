"""A worker knows the orders that were given before it came, also where they are not retained."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import BrokerOptions, MemoryBroker, MemoryBus
from tests.cluster.recorder import TIMEOUT


def rabbit() -> MemoryBroker:
    """MQTT 3.1.1, nothing shared, and nothing retained for filters with wildcards."""
    options = BrokerOptions(
        mqtt5=False, reports_no_subscribers=False, shares=False, retained_to_wildcards=False
    )
    return MemoryBroker(options)


class Lines:
    """What the worker's orders log."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        caplog.set_level("INFO", "routeq_mqtt.worker.control.orders")

    async def contain(self, line: str) -> None:
        async with asyncio.timeout(TIMEOUT):
            while line not in self._caplog.messages:
                await asyncio.sleep(0.001)


async def test_a_worker_asks_the_scheduler_for_its_orders(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = Lines(caplog)
    bus = MemoryBus(broker=rabbit(), settings=Settings(sharing="scheduler", timeout=5.0))
    try:
        await bus.scheduler(tmp_path / "routeq.db")
        await bus.open()
        await bus.pause("a")
        await bus.worker("a")
        assert "paused a: yes" in caplog.messages  # it was known before the first job
        await bus.resume("a")
        await lines.contain("paused a: no more")
    finally:
        await bus.__aexit__(None, None, None)


async def test_what_holds_no_more_is_learned_when_a_scheduler_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = Lines(caplog)
    memory, settings = rabbit(), Settings(sharing="scheduler", timeout=5.0)
    bus = MemoryBus(broker=memory, settings=settings)
    try:
        first = MemoryBus(broker=memory, settings=settings)
        await first.scheduler(tmp_path / "first.db")
        await bus.open()
        await bus.pause("a")
        await bus.worker("a")
        await first.__aexit__(None, None, None)
        [worker] = [name for name in memory.connected() if name.endswith("-out")]
        memory.cut(worker)
        await bus.scheduler(tmp_path / "second.db")  # it has given no order
        await lines.contain("paused a: no more")
    finally:
        await bus.__aexit__(None, None, None)
