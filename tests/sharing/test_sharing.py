"""A job does not wait at a busy worker while a slot is free at another, on every broker."""

from __future__ import annotations

from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Gated, Report


async def test_what_waits_at_a_stuck_worker_runs_elsewhere_while_it_is_stuck(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "1", "--prefetch", "20")
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="long", gate="never"))
        await cluster.recorder.count("waits", 1)
        await bus.bulk([Report(key=str(number)) for number in range(20)])
        await cluster.worker("default", "--concurrency", "1")
        await cluster.recorder.count("ran", 20)
    assert cluster.recorder.ran() == {str(number): 1 for number in range(20)}
    assert all(event["attempt"] == 1 for event in cluster.recorder.events)


async def test_two_workers_stuck_in_turn_hand_everything_to_the_one_that_is_free(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    for _ in range(3):
        await cluster.worker("default", "--concurrency", "1", "--prefetch", "50")
    async with cluster.bus() as bus:
        # All three have one, and 30 more each wait behind them on brokers that deal in turn.
        await bus.bulk([Gated(key=f"long {n}", gate=f"gate {n}") for n in range(3)])
        await cluster.recorder.count("waits", 3)
        await bus.bulk([Report(key=str(number)) for number in range(90)])
        cluster.recorder.open("gate 1")
        await cluster.recorder.count("ran", 91)
        cluster.recorder.open("gate 0")
        cluster.recorder.open("gate 2")
        await cluster.recorder.count("ran", 93)
    assert set(cluster.recorder.ran().values()) == {1}


async def test_a_backlog_behind_a_busy_worker_in_the_broker_comes_back_too(
    cluster: Cluster,
) -> None:
    """More than the worker has read: it waits in its session."""
    await cluster.scheduler()
    stuck = await cluster.worker("default", "--concurrency", "1", "--prefetch", "0")
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="long", gate="never"))
        await cluster.recorder.count("waits", 1)
        await bus.bulk([Report(key=str(number)) for number in range(3_000)])
        await cluster.worker("default", "--concurrency", "5")
        await cluster.recorder.count("ran", 3_000)
    assert len(cluster.recorder.ran()) == 3_000
    assert set(cluster.recorder.ran().values()) == {1}
    assert stuck.running


async def test_an_earlier_queue_still_comes_first_where_its_jobs_were_given_back(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    await cluster.worker("high,low", "--concurrency", "1", "--prefetch", "9")
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="long", gate="never"), queue="low")
        await cluster.recorder.count("waits", 1)
        await bus.bulk([Report(key=f"low {n}") for n in range(5)], "low")
        await bus.bulk([Report(key=f"high {n}") for n in range(5)], "high")
        await cluster.worker("high,low", "--concurrency", "1")
        await cluster.recorder.count("ran", 10)
    assert set(cluster.recorder.ran().values()) == {1}
    for queue in ("high", "low"):
        order = [e["key"] for e in cluster.recorder.named("ran") if e["key"].startswith(queue)]
        assert order == sorted(order)


async def test_a_worker_that_left_its_group_joins_again_without_a_scheduler(
    cluster: Cluster,
) -> None:
    scheduler = await cluster.scheduler()
    first = await cluster.worker("default", "--concurrency", "1")
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="long", gate="go"))
        await cluster.recorder.count("waits", 1)
        second = await cluster.worker("default", "--concurrency", "1")
        await bus.bulk([Report(key=str(number)) for number in range(4)])
        await cluster.recorder.count("ran", 4)
        await scheduler.kill()
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 5)
        assert await second.stop() == 0
        await bus.dispatch(Report(key="last"))
        await cluster.recorder.wait(lambda: "last" in cluster.recorder.ran())
    assert set(cluster.recorder.ran().values()) == {1}
    assert first.running
