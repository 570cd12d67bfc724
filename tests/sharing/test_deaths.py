"""A worker dies while it gives jobs back: at every step nothing is lost and nothing runs twice."""

from __future__ import annotations

import sys

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Gated, Report
from tests.cluster.process import Process


async def _dying_worker(cluster: Cluster, step: str) -> Process:
    program = "tests.sharing.programs.dying_worker"
    process = await Process.start("dying", sys.executable, "-m", program, step, env=cluster.env)
    cluster.processes.append(process)
    await process.says("online")
    return process


@pytest.mark.parametrize("step", ["giving back", "given back", "acknowledged"])
async def test_a_worker_that_dies_while_it_gives_back(cluster: Cluster, step: str) -> None:
    await cluster.scheduler()
    dying = await _dying_worker(cluster, step)
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="long", gate="go"))
        await cluster.recorder.count("waits", 1)
        await bus.bulk([Report(key=str(number)) for number in range(12)])
        await cluster.worker("default", "--concurrency", "2")
        if cluster.shares_queue:  # there, giving back is one packet: before it or after it
            await cluster.recorder.count("ran", 12)
            await dying.kill()
        else:
            assert await dying.ended() == 9
        # The long one comes back as its second attempt; it is not yet over when all others are.
        await cluster.recorder.count("ran", 12)
        await cluster.recorder.count("waits", 2)
        cluster.recorder.open("go")
        await cluster.recorder.wait(lambda: "long" in cluster.recorder.ran())
        await cluster.ask_until(
            bus, "sizes", lambda sizes: not any(sizes.get("default", {}).values())
        )
    assert cluster.recorder.ran() == {"long": 1} | {str(number): 1 for number in range(12)}


async def test_a_scheduler_that_dies_with_jobs_on_their_way_back_finds_them(
    cluster: Cluster,
) -> None:
    scheduler = await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "1", "--prefetch", "50")
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="long", gate="go"))
        await cluster.recorder.count("waits", 1)
        await bus.bulk([Report(key=str(number)) for number in range(50)])
        await cluster.worker("default", "--concurrency", "1")
        if not cluster.shares_queue:
            await scheduler.says("asked to share")
        await scheduler.kill()
        await cluster.scheduler()
        await cluster.recorder.count("ran", 50)
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 51)
    assert set(cluster.recorder.ran().values()) == {1}
