"""Dealing on real brokers, while worker, scheduler and broker are killed."""

from __future__ import annotations

import signal

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.foreign import ForeignCluster
from tests.cluster.jobs import Flaky, Gated, Report

pytestmark = pytest.mark.slow


async def test_dealt_jobs_outlive_worker_and_scheduler(dealing: Cluster) -> None:
    scheduler = await dealing.scheduler()
    worker = await dealing.worker("default", "--concurrency", "2")
    async with dealing.bus() as bus:
        await bus.dispatch(Flaky())
        await bus.dispatch(Report(key="later"), delay=0.5)
        await dealing.recorder.count("ran", 2)
        for number in range(2):
            await bus.dispatch(Gated(key=f"held {number}", gate="go"))
        await dealing.recorder.count("waits", 2)
        await scheduler.kill()
        await bus.bulk([Report(key=str(number)) for number in range(20)])
        await worker.kill()
        await dealing.scheduler()
        await dealing.worker("default", "--concurrency", "4")
        await dealing.recorder.count("waits", 4)  # adopted: they begin again
        dealing.recorder.open("go")
        await dealing.recorder.count("ran", 24)
        await dealing.ask_until(
            bus, "sizes", lambda sizes: not any(sizes.get("default", {}).values())
        )
    ran = dealing.recorder.ran()
    assert len(ran) == 24
    if not (isinstance(dealing, ForeignCluster) and dealing.foreign == "nats"):
        assert set(ran.values()) == {1}  # there a census may overtake jobs: docs/brokers.md


async def test_dealt_jobs_outlive_a_kill_of_the_broker(dealing: Cluster) -> None:
    """The jobs are in the scheduler's database: also on mosquitto, which forgets what it had."""
    await dealing.scheduler()
    await dealing.worker("default", "--concurrency", "2")
    async with dealing.bus() as bus:
        for number in range(2):
            await bus.dispatch(Gated(key=f"held {number}", gate="go"), confirm="stored")
        await dealing.recorder.count("waits", 2)
        await bus.bulk([Report(key=str(number)) for number in range(20)], confirm="stored")
        await dealing.restart_broker(signal.SIGKILL)
        dealing.recorder.open("go")
        await dealing.recorder.count("ran", 22)
        await dealing.ask_until(
            bus, "sizes", lambda sizes: not any(sizes.get("default", {}).values())
        )
    assert len(dealing.recorder.ran()) == 22
