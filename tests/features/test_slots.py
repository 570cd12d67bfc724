"""A slot belongs to a run: what cannot start now keeps it from nobody, on both brokers."""

from __future__ import annotations

import asyncio

import pytest

from routeq_mqtt import Bus
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Gated
from tests.cluster.process import Process
from tests.faults.test_features import insist
from tests.features.jobs import Everywhere
from tests.features.test_limits import overlaps

APP = ("--app", "tests.features.jobs", "--app", "tests.cluster.jobs")


async def stuck_in(cluster: Cluster, bus: Bus, queue: str, *, blocked_in: str) -> str:
    """A job that was granted and published to a worker that runs something else meanwhile."""
    await bus.dispatch(Gated(key="blocker", gate="go"), queue=blocked_in)
    await cluster.recorder.count("waits", 1)
    stuck = await bus.dispatch(Everywhere(device="A", key="stuck"), queue=queue)
    await cluster.ask_until(bus, "sizes", lambda sizes: sizes[queue]["released"] == 1)
    return str(stuck)


async def one_slot(cluster: Cluster, bus: Bus) -> tuple[Process, str]:
    """A worker that has the job, and another one whose job waits for its slot."""
    away = await cluster.worker("away", *APP, "--concurrency", "1")
    await cluster.worker("here", *APP)
    stuck = await stuck_in(cluster, bus, "away", blocked_in="away")
    await bus.dispatch(Everywhere(device="A", key="waits"), queue="here")
    await cluster.ask_until(bus, "sizes", lambda sizes: sizes["here"]["limited"] == 1)
    return away, stuck


async def test_a_job_whose_worker_is_gone_gives_its_slot_back_and_runs_later(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    async with cluster.bus() as bus:
        away, _ = await one_slot(cluster, bus)
        await away.kill()
        await cluster.recorder.wait(lambda: cluster.recorder.ran() == {"waits": 1})
        await cluster.worker("away", *APP, "--concurrency", "2")
        cluster.recorder.open("go")
        await cluster.recorder.wait(
            lambda: cluster.recorder.ran().keys() == {"waits", "stuck", "blocker"}
        )
        await cluster.ask_until(
            bus, "orders", lambda orders: not any(one["kind"] == "recalled" for one in orders)
        )
    assert cluster.recorder.ran() == {"waits": 1, "stuck": 1, "blocker": 1}
    assert not overlaps(cluster)


async def test_a_job_that_is_cancelled_while_its_worker_is_gone_gives_its_slot_back(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    async with cluster.bus() as bus:
        away, stuck = await one_slot(cluster, bus)
        await away.kill()
        assert await bus.cancel(stuck) in {"asked", "cancelled"}
        await cluster.recorder.wait(lambda: cluster.recorder.ran() == {"waits": 1})
        await cluster.worker("away", *APP, "--concurrency", "2")
        cluster.recorder.open("go")
        await cluster.recorder.wait(lambda: cluster.recorder.ran().keys() == {"waits", "blocker"})
        assert await bus.cancel(stuck) == "over"


async def test_a_job_of_a_paused_queue_gives_its_slot_to_another_queue(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("one,two", *APP, "--concurrency", "1")
    async with cluster.bus() as bus:
        await stuck_in(cluster, bus, "one", blocked_in="two")
        await bus.pause("one")
        await bus.dispatch(Everywhere(device="A", key="waits"), queue="two")
        cluster.recorder.open("go")
        await cluster.recorder.wait(lambda: cluster.recorder.ran().keys() == {"blocker", "waits"})
        await bus.resume("one")
        await cluster.recorder.wait(lambda: "stuck" in cluster.recorder.ran())
    assert cluster.recorder.ran() == {"blocker": 1, "waits": 1, "stuck": 1}
    assert not overlaps(cluster)


@pytest.mark.slow
async def test_a_slot_comes_back_though_the_scheduler_dies_as_it_recalls_the_job(
    cluster: Cluster,
) -> None:
    """On mosquitto the busy worker has given the job back itself: nothing is to be recalled."""
    succession = await cluster.succession(
        await cluster.dying_scheduler("recalled" if cluster.kind == "embedded" else "ordered")
    )
    await cluster.worker("one,two", *APP, "--concurrency", "1")
    async with cluster.bus(timeout=30.0) as bus:
        await stuck_in(cluster, bus, "one", blocked_in="two")
        paused = asyncio.create_task(insist(lambda: bus.pause("one")))
        await bus.dispatch(Everywhere(device="A", key="waits"), queue="two")
        await succession
        await paused
        cluster.recorder.open("go")
        await cluster.recorder.wait(lambda: cluster.recorder.ran().keys() == {"blocker", "waits"})
        await bus.resume("one")
        await cluster.recorder.wait(lambda: "stuck" in cluster.recorder.ran())
    assert cluster.recorder.ran() == {"blocker": 1, "waits": 1, "stuck": 1}
    assert not overlaps(cluster)
