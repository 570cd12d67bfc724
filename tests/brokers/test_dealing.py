"""Dealing on real brokers, while worker, scheduler and broker are killed."""

from __future__ import annotations

import signal

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Flaky, Gated, Report
from tests.cluster.nodes import NodesCluster

pytestmark = pytest.mark.slow


async def test_a_scheduler_finds_out_what_the_broker_can_do(dealing: Cluster) -> None:
    dealing.extra_env["ROUTEQ_SHARING"] = "auto"
    scheduler = await dealing.scheduler()
    await dealing.worker()
    async with dealing.bus() as bus:
        await bus.dispatch(Report(key="a"))
        await bus.dispatch(Report(key="later"), delay=0.1)
        await dealing.recorder.count("ran", 2)
    sharing = "scheduler" if isinstance(dealing, NodesCluster) else "broker"
    assert f"sharing={sharing} " in scheduler.output


async def test_a_scheduler_lets_a_broker_share_that_can(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    assert "sharing=broker " in scheduler.output


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
    assert set(ran.values()) == {1}


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


async def test_a_census_does_not_overtake_dealt_jobs(dealing: Cluster) -> None:
    """The broker still has jobs that it dealt when the scheduler asks who holds them.

    NATS keeps each subscription apart: a question on another topic than theirs came before them.
    """
    if isinstance(dealing, NodesCluster):
        dealing.limit_unacknowledged(5)
        await dealing.restart_broker()
    scheduler = await dealing.scheduler()
    await dealing.worker("default", "--concurrency", "20")
    async with dealing.bus() as bus:
        jobs = [Gated(key=str(number), gate="go") for number in range(20)]
        await bus.bulk(jobs, confirm="stored")
        await dealing.recorder.wait(lambda: len(dealing.recorder.named("waits")) >= 5)
        # All are dealt to the one worker: the other one gets none that would wait there.
        await dealing.ask_until(
            bus, "sizes", lambda sizes: not sizes.get("default", {}).get("parked")
        )
        await scheduler.kill()
        await dealing.worker("default", "--concurrency", "20")
        scheduler = await dealing.scheduler()
        await scheduler.says("census of 20 rows", 2)  # at once, and when all workers are back
        await bus.dispatch(Report(key="behind"))
        await dealing.recorder.count("ran", 1)
        dealing.recorder.open("go")
        await dealing.recorder.count("ran", 21)
        await dealing.ask_until(
            bus, "sizes", lambda sizes: not any(sizes.get("default", {}).values())
        )
    assert set(dealing.recorder.ran().values()) == {1}
