"""Brokers that send again on the same connection what is not acknowledged yet, as NATS does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from routeq_mqtt import Job
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import BrokerOptions, MemoryBroker, MemoryBus
from tests.cluster.recorder import TIMEOUT

STARTED: asyncio.Queue[str] = asyncio.Queue()
GATE: asyncio.Event = asyncio.Event()


class Lingers(Job):
    key: str

    async def handle(self) -> None:
        STARTED.put_nowait(self.key)
        if self.key == "slow":
            await GATE.wait()


@pytest.fixture(autouse=True)
async def _fresh() -> AsyncIterator[None]:
    global STARTED, GATE
    STARTED, GATE = asyncio.Queue(), asyncio.Event()
    yield
    GATE.set()


async def started() -> str:
    async with asyncio.timeout(TIMEOUT):
        return await STARTED.get()


def send_again(broker: MemoryBroker) -> int:
    """Everything that is not acknowledged, to those who are there; how much that was."""
    number = 0
    for session in broker._router.sessions.values():
        if session.wire is not None and "/deal/" in str(session.plain):
            number += len(session.in_flight)
            session.resume()
    return number


async def test_a_job_that_still_runs_is_not_run_beside_itself() -> None:
    broker = MemoryBroker(BrokerOptions(mqtt5=False, shares=False))
    async with MemoryBus("default", broker=broker, settings=Settings(sharing="scheduler")) as bus:
        await bus.dispatch(Lingers(key="slow"))
        assert await started() == "slow"
        assert send_again(broker) == 1
        await bus.dispatch(Lingers(key="next"))
        assert await started() == "next"
        assert send_again(broker) >= 1
        GATE.set()
        await bus.dispatch(Lingers(key="last"))
        assert await started() == "last"
    assert STARTED.empty()
