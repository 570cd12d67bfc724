"""A bus with something to see: a broker, a scheduler, workers, jobs that fail, wait and run."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator

from routeq_mqtt import Bus, batch
from tests.cluster.cluster import Cluster, free_port
from tests.cluster.process import Process
from tests.dashboard import jobs


class Shop:
    """What is open.

    Args:
        cluster: its broker runs.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.gate = cluster.folder / "gate"
        self.dashboard: Process | None = None

    async def open(self) -> None:
        """Scheduler and workers; `imports` has one slot, so that jobs wait."""
        await self.cluster.scheduler("--app", "tests.dashboard.jobs")
        await self.worker("mail,images,payments,default", "--name", "web-1", "--tag", "site=north")
        await self.worker("imports,reports", "--name", "import-1", "--concurrency", "1")

    async def worker(self, queues: str, *flags: str) -> Process:
        """One worker with the shop's jobs."""
        process = await Process.cli(
            "worker", "worker", "--queue", queues, "--app", "tests.dashboard.jobs", *flags,
            env=self.cluster.env | {"ROUTEQ_TEST_GATE": str(self.gate)},
        )  # fmt: skip
        self.cluster.processes.append(process)
        await process.says("online")
        return process

    async def serve(self, *flags: str) -> str:
        """Start the dashboard; the link to open it with."""
        process = await Process.cli(
            "dashboard", "dashboard", "--bind", f"127.0.0.1:{free_port()}", *flags,
            env=self.cluster.env,
        )  # fmt: skip
        self.dashboard = process
        self.cluster.processes.append(process)
        await process.says("dashboard: http")
        return self.link()

    def link(self) -> str:
        """The link that was printed last."""
        assert self.dashboard is not None
        links = [line for line in self.dashboard.lines if line.startswith("dashboard: http")]
        return links[-1].partition(" ")[2]

    async def sell(self, bus: Bus, orders: int = 60) -> None:
        """Orders that end well, and some that do not; wait until the failures are recorded."""
        for order in range(1, orders + 1):
            await bus.dispatch(jobs.SendInvoice(order=order, to=f"customer{order}@example.org"))
            await bus.dispatch(jobs.ResizeImage(picture=f"p/{order}.jpg", width=order * 150))
            await bus.dispatch(jobs.ChargeCard(order=order, amount=round(order * 3.99, 2)))
        for file in ("spring.csv", "summer.csv", "autumn.csv"):
            await bus.dispatch(jobs.ImportCatalogue(file=file))
        for hours in range(1, 30):
            await bus.dispatch(
                jobs.SendInvoice(order=900 + hours, to=f"later{hours}@example.org"),
                delay=hours * 1800, confirm="stored",
            )  # fmt: skip
        await bus.dispatch_batch(
            batch([jobs.SendInvoice(order=1, to="sale@example.org") for _ in range(5)], name="sale")
        )
        await bus.limit_queue("reports", (100, 60))
        await bus.dispatch(jobs.RebuildIndex(shop="north"), delay=3600)
        failures = orders // 9 + orders // 4 + sum(n * 150 > 8000 for n in range(1, orders + 1))
        await self.cluster.failed_records(bus, failures)

    async def trade(self, bus: Bus) -> None:
        """Orders come and come, more and fewer, until this is cancelled: for the pictures."""
        order = 1_000
        while True:
            order += 1
            await bus.dispatch(jobs.SendInvoice(order=order, to=f"customer{order}@example.org"))
            if order % 2:
                await bus.dispatch(jobs.ResizeImage(picture=f"p/{order}.jpg", width=order % 9_000))
            if order % 3 == 0:
                await bus.dispatch(jobs.ChargeCard(order=order, amount=19.9))
            await asyncio.sleep(0.06 + 0.04 * math.sin(time.monotonic() / 5))


@contextlib.asynccontextmanager
async def shop(cluster: Cluster) -> AsyncIterator[Shop]:
    """An open shop on a broker that runs."""
    one = Shop(cluster)
    await one.open()
    yield one
    one.gate.touch()
