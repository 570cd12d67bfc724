"""What happens when workers, schedulers and brokers stop and start, on every broker."""

from __future__ import annotations

import asyncio
import signal

import pytest

from routeq_mqtt import Bus
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Gated, Report


@pytest.mark.stock
async def test_sigterm_finishes_what_runs_and_leaves_the_rest_to_others(cluster: Cluster) -> None:
    await cluster.scheduler()
    first = await cluster.worker("default", "--concurrency", "2", "--prefetch", "20")
    async with cluster.bus() as bus:
        for number in range(20):
            await bus.dispatch(Gated(key=str(number), gate="go"))
        await cluster.recorder.count("waits", 2)
        first.send(signal.SIGTERM)
        second = await cluster.worker("default", "--concurrency", "20")
        cluster.recorder.open("go")
        assert await first.ended() == 0
        await cluster.recorder.count("ran", 20)
    assert cluster.recorder.ran() == {str(number): 1 for number in range(20)}
    assert all(event["attempt"] == 1 for event in cluster.recorder.events)
    assert await second.stop() == 0
    code, workers = await cluster.cli("workers", "--json")
    assert (code, workers.strip()) == (0, "[]")


@pytest.mark.stock
async def test_a_second_sigterm_leaves_at_once(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await cluster.worker()
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="x", gate="never"))
        await cluster.recorder.count("waits", 1)
        worker.send(signal.SIGTERM)
        await worker.says("signal=SIGTERM: stopping")
        worker.send(signal.SIGINT)
        assert await worker.ended() == 128 + signal.SIGINT


async def test_a_broker_restart_in_the_middle_loses_and_doubles_nothing(cluster: Cluster) -> None:
    await cluster.scheduler()
    for _ in range(2):
        await cluster.worker("default", "--concurrency", "5")
    async with cluster.bus(timeout=30.0) as bus:
        sending = asyncio.create_task(_send(bus, 300))
        await cluster.recorder.count("waits", 5)
        await cluster.restart_broker()
        cluster.recorder.open("go")
        in_flight = await sending
        await cluster.recorder.wait(lambda: len(cluster.recorder.ran()) == 300, "all ran")
        await bus.dispatch(Report(key="last"))
        await cluster.recorder.wait(lambda: "last" in cluster.recorder.ran())
    doubled = {key for key, times in cluster.recorder.ran().items() if times > 1}
    # Its PUBACK was lost with the connection, so its sender sent it again.
    doubled -= in_flight
    assert not doubled, [e for e in cluster.recorder.events if e.get("key") in doubled]


async def _send(bus: Bus, number: int) -> set[str]:
    """Dispatch one by one; the keys that were on their way when the connection was lost."""
    in_flight = set()
    for key in range(number):
        before = bus.sender.link.connection
        await bus.dispatch(Gated(key=str(key), gate="go"))
        if bus.sender.link.connection is not before:
            in_flight.add(str(key))
    return in_flight


@pytest.mark.stock
async def test_a_scheduler_restart_keeps_delayed_jobs_and_releases_overdue_ones(
    cluster: Cluster,
) -> None:
    scheduler = await cluster.scheduler()
    await cluster.worker()
    async with cluster.bus() as bus:
        await bus.later(0.3, Report(key="overdue"))
        await bus.later(3600, Report(key="much later"))
        await scheduler.kill()
        await bus.dispatch(Report(key="express"))
        await bus.later(0.1, Report(key="sent meanwhile"))
        await cluster.recorder.count("ran", 1)
        await cluster.scheduler()
        await cluster.recorder.count("ran", 3)
        assert (await bus.size("default")).delayed == 1
    assert cluster.recorder.ran() == {"overdue": 1, "express": 1, "sent meanwhile": 1}


@pytest.mark.stock
async def test_a_second_scheduler_refuses_to_start(cluster: Cluster) -> None:
    first = await cluster.scheduler()
    code, output = await cluster.cli("scheduler", "--db", str(cluster.folder / "other.db"))
    assert code == 5
    assert f"pid={first.pid}" in output
    await first.kill()
    await cluster.scheduler()


async def test_an_earlier_queue_comes_first_however_long_the_later_one_is(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("high,low", "--concurrency", "1")
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="first", gate="go"), queue="low")
        await cluster.recorder.count("waits", 1)
        await bus.bulk([Report(key=f"low {n}") for n in range(3000)], "low")
        await bus.dispatch(Report(key="high"), queue="high")
        # At the worker, or given back by it.
        await cluster.size_until(bus, "high", lambda size: size.waiting + size.parked >= 1)
    cluster.recorder.open("go")
    await cluster.recorder.count("ran", 3002)
    order = [event["key"] for event in cluster.recorder.named("ran")]
    assert order[:2] == ["first", "high"]
    assert order[2:] == [f"low {n}" for n in range(3000)]


async def test_ten_thousand_jobs_none_lost_none_doubled(cluster: Cluster) -> None:
    await cluster.scheduler()
    for _ in range(2):
        await cluster.worker("default", "--concurrency", "20", "--no-events")
    async with cluster.bus(timeout=30.0) as bus:
        await bus.bulk(Report(key=str(n)) for n in range(10_000))
    await cluster.recorder.count("ran", 10_000)
    assert len(cluster.recorder.ran()) == 10_000
    assert set(cluster.recorder.ran().values()) == {1}


@pytest.mark.stock
async def test_a_worker_stops_when_empty_and_after_so_many_jobs(cluster: Cluster) -> None:
    await cluster.scheduler()
    async with cluster.bus() as bus:
        await bus.bulk([Report(key=str(n)) for n in range(30)])
    limited = await cluster.worker("default", "--concurrency", "1", "--max-jobs", "10")
    assert await limited.ended() == 0
    assert len(cluster.recorder.named("ran")) == 10
    rest = await cluster.worker("default", "--stop-when-empty")
    assert await rest.ended() == 0
    assert cluster.recorder.ran() == {str(number): 1 for number in range(30)}
