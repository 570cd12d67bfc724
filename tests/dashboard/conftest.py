"""One shop on the embedded broker, and one browser, for all tests of a file: they start slowly."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from routeq_mqtt import Bus
from tests.cluster.cluster import Cluster
from tests.cluster.recorder import Recorder
from tests.dashboard.browser import browser, need_chromium
from tests.dashboard.shop import Shop, shop


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Shop, Bus]]:
    """Broker, scheduler, workers, and a client."""
    need_chromium()
    recorder = Recorder()
    await recorder.start()
    cluster = Cluster("embedded", tmp_path_factory.mktemp("shop"), recorder)
    try:
        await cluster.start_broker()
        async with shop(cluster) as one, cluster.bus() as bus:
            yield one, bus
    finally:
        await cluster.close()
        await recorder.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def store(opened: tuple[Shop, Bus]) -> AsyncIterator[Shop]:
    """The shop, without failed records of the test before; its dashboard is started by the test."""
    one, bus = opened
    one.gate.unlink(missing_ok=True)
    await bus.requests.call("failed.flush")
    yield one
    if one.dashboard is not None and one.dashboard.running:
        await one.dashboard.kill()


@pytest.fixture
def bus(opened: tuple[Shop, Bus]) -> Bus:
    return opened[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chrome(opened: object) -> AsyncIterator[Browser]:
    async with browser() as one:
        yield one
