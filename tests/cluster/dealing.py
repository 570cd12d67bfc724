"""A bus on a real mosquitto whose scheduler deals; services without processes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from routeq_mqtt import Bus
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import Transport
from tests.cluster.cluster import Cluster
from tests.cluster.memory import MemoryCluster
from tests.cluster.recorder import Recorder


class Dealing(MemoryCluster):
    """What is dispatched goes through the scheduler, as on a broker that does not share."""

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        super().__init__(folder, recorder)
        self.kind = "mosquitto"
        self.extra_env["ROUTEQ_SHARING"] = "scheduler"

    def _transport(self) -> Transport:
        return AioTransport(Settings(url=self.url).address())

    async def start_broker(self) -> None:
        await Cluster.start_broker(self)

    async def stop_broker(self, number: signal.Signals = signal.SIGTERM) -> None:
        await Cluster.stop_broker(self, number)

    @contextlib.asynccontextmanager
    async def bus(self, **settings: Any) -> AsyncIterator[Bus]:
        async with Bus(settings=Settings(url=self.url, **settings)) as bus:
            yield bus

    async def close(self) -> None:
        await super().close()
        if self.broker is not None and self.broker.running:
            await self.broker.kill()
