"""A worker that is killed loses what it has not published, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from routeq_mqtt.transport.base import Message
from routeq_mqtt.wire.observe.asks import StatsHistory
from routeq_mqtt.wire.observe.stats import WorkerStats
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Gated, Report

JOBS = 50


@pytest.mark.slow
async def test_what_a_killed_worker_has_published_is_counted(cluster: Cluster) -> None:
    if cluster.kind != "embedded":
        pytest.skip("it is about the scheduler: one broker is enough")
    await cluster.scheduler()
    worker = await cluster.worker()
    published: dict[str, int] = {}
    news = asyncio.Event()

    def take(message: Message) -> None:
        stats = WorkerStats.decode(message.payload)
        published[message.topic] = sum(one.outcomes["done"] for one in stats.tallies.values())
        news.set()

    async with cluster.bus() as bus:
        await bus.sender.listen(["routeq/stats/+"], take)
        await bus.bulk([Report(key=str(n)) for n in range(JOBS)])
        while sum(published.values()) < JOBS:
            news.clear()
            await news.wait()
        await bus.dispatch(Gated(key="killed", gate="never"))
        await cluster.recorder.count("waits", 1)
        await worker.kill()  # with a job that it has begun, and has not counted
        history = await bus.requests.ask(StatsHistory())
        points = [point for series in history.series for point in series.points]
        assert sum(point.done for point in points) == JOBS
        assert sum(point.attempts for point in points) == JOBS
        assert sum(sum(point.wait) for point in points) == JOBS
