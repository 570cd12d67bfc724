"""Cancel, pause, purge and drain, on both brokers, and when things die meanwhile."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from routeq_mqtt import Bus
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Gated, Report


async def until(cluster: Cluster, bus: Bus, queue: str, **wanted: Any) -> None:
    """Wait until the sizes of a queue are these."""
    await cluster.size_until(bus, queue, lambda size: wanted.items() <= size.as_dict().items())


async def unstarted(cluster: Cluster, bus: Bus, queue: str, number: int) -> None:
    """Wait until so many jobs wait, in a worker or, where that is busy, before it."""
    await cluster.size_until(bus, queue, lambda size: size.waiting + size.parked == number)


async def test_a_job_is_cancelled_while_it_is_delayed(cluster: Cluster) -> None:
    await cluster.scheduler()
    async with cluster.bus() as bus:
        job_id = await bus.dispatch(Report(key="never"), delay=3600, confirm="stored")
        assert await bus.cancel(job_id) == "cancelled"
        assert await bus.cancel(job_id) == "over"
        assert (await bus.size("default")).total == 0


async def test_a_job_is_cancelled_while_it_runs_and_while_it_waits(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "1", "--prefetch", "5")
    async with cluster.bus() as bus:
        runs = await bus.dispatch(Gated(key="runs", gate="never"))
        await cluster.recorder.count("waits", 1)
        waits = await bus.dispatch(Report(key="waits"))
        await unstarted(cluster, bus, "default", 1)
        assert await bus.cancel(waits) in {"asked", "cancelled"}
        assert await bus.cancel(runs) == "asked"
        await bus.dispatch(Report(key="after"))
        await cluster.recorder.count("ran", 1)
        await until(cluster, bus, "default", total=0)
        # Obeyed: nothing is left of the orders.
        await cluster.ask_until(bus, "orders", lambda orders: orders == [])
    assert cluster.recorder.ran() == {"after": 1}


@pytest.mark.parametrize("stored", [False, True])
async def test_a_cancel_outlives_the_worker_that_runs_the_job(
    cluster: Cluster, stored: bool
) -> None:
    scheduler = await cluster.scheduler()
    worker = await cluster.worker()
    async with cluster.bus() as bus:
        job_id = await bus.dispatch(
            Gated(key="x", gate="go"), confirm="stored" if stored else "broker"
        )
        await cluster.recorder.count("waits", 1)
        worker.send(signal.SIGSTOP)  # it hears of nothing
        assert await bus.cancel(job_id) == "asked"
        await scheduler.kill()
        await worker.kill()
        cluster.recorder.open("go")
        await cluster.scheduler()
        await cluster.worker()
        await bus.dispatch(Report(key="after"))
        await cluster.recorder.count("ran", 1)
        await until(cluster, bus, "default", total=0)
    assert cluster.recorder.ran() == {"after": 1}
    assert len(cluster.recorder.named("waits")) == 1


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await cluster.worker("default,other", "--concurrency", "1")
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="runs", gate="go"))
        await cluster.recorder.count("waits", 1)
        await bus.dispatch(Report(key="came before"))
        await unstarted(cluster, bus, "default", 1)
        assert await cluster.cli("pause", "default") == (0, "default: paused")
        await worker.says("paused default: yes")
        await bus.dispatch(Report(key="comes later"))
        await bus.dispatch(Report(key="durable"), confirm="stored")
        await bus.dispatch(Report(key="other"), queue="other")
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 2)  # what ran, and the other queue
        code, shown = await cluster.cli("queues", "--json")
        assert code == 0
        assert {one["queue"]: one["paused"] for one in json.loads(shown)}["default"]
        await cluster.worker()  # one that comes later obeys, too
        assert cluster.recorder.ran() == {"runs": 1, "other": 1}
        await bus.resume("default")
        await cluster.recorder.count("ran", 5)
    assert set(cluster.recorder.ran().values()) == {1}


async def test_a_queue_stays_paused_whatever_dies(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    worker = await cluster.worker()
    async with cluster.bus(timeout=30.0) as bus:
        await bus.pause("default")
        await worker.says("paused default: yes")
        await scheduler.kill()
        await worker.kill()
        await cluster.restart_broker(signal.SIGKILL)
        await cluster.scheduler()
        await cluster.worker("default,other")
        await bus.dispatch(Report(key="kept"))
        await bus.dispatch(Report(key="other"), queue="other")
        await cluster.recorder.count("ran", 1)
        assert cluster.recorder.ran() == {"other": 1}
        await bus.resume("default")
        await cluster.recorder.count("ran", 2)
    assert cluster.recorder.ran() == {"other": 1, "kept": 1}


async def test_a_queue_that_was_resumed_while_a_worker_was_away_is_open_to_it(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    worker = await cluster.worker()
    async with cluster.bus(timeout=30.0) as bus:
        await bus.pause("default")
        await worker.says("paused default: yes")
        await bus.dispatch(Report(key="kept"))
        worker.send(signal.SIGSTOP)
        await bus.resume("default")
        await cluster.restart_broker()
        worker.send(signal.SIGCONT)
        await cluster.recorder.count("ran", 1)


async def test_purge_empties_what_waits_and_leaves_what_runs(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "1", "--prefetch", "3")
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="runs", gate="go"))
        await cluster.recorder.count("waits", 1)
        await bus.dispatch(Report(key="delayed"), delay=3600, confirm="stored")
        await bus.bulk([Report(key=f"parked {n}") for n in range(40)], "idle")
        await bus.dispatch(Report(key="elsewhere"), queue="kept")
        await bus.bulk([Report(key=f"waits {n}") for n in range(3)])
        await unstarted(cluster, bus, "default", 3)
        await until(cluster, bus, "idle", parked=40)
        assert await bus.purge("idle") == 40
        assert await bus.purge("default") >= 1
        await until(cluster, bus, "default", delayed=0, waiting=0, parked=0)
        cluster.recorder.open("go")
        await cluster.worker("idle,kept")
        await cluster.recorder.count("ran", 2)
        await until(cluster, bus, "default", total=0)
        assert (await bus.size("idle")).total == 0
    assert cluster.recorder.ran() == {"runs": 1, "elsewhere": 1}


async def test_a_drained_worker_finishes_what_it_holds_and_takes_no_more(cluster: Cluster) -> None:
    await cluster.scheduler()
    drained = await cluster.worker("default", "--name", "press-7", "--concurrency", "1")
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="runs", gate="go"))
        await cluster.recorder.count("waits", 1)
        assert await cluster.cli("worker-drain", "press-7") == (0, "press-7: drained")
        code, said = await cluster.cli("worker-undrain", "pres-7")
        assert (code, "no worker of this id or name is online now" in said) == (0, True)
        await drained.says("drained press-7: yes")
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 1)
        await bus.dispatch(Report(key="for the next one"))
        await until(cluster, bus, "default", parked=1)
        await drained.stop()
        again = await cluster.worker("default", "--name", "press-7")
        await again.says("drained press-7: yes")
        code, shown = await cluster.cli("workers")
        assert (code, "drained" in shown) == (0, True)
        assert (await bus.size("default")).parked == 1
        await bus.undrain("press-7")
        await cluster.recorder.count("ran", 2)
    assert cluster.recorder.ran() == {"runs": 1, "for the next one": 1}
