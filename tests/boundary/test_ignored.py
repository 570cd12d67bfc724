"""Coroutines that ignore their cancellation: reported, replaced, never in the way of the end."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.boundary.jobs import LET_GO, BlocksTheLoop, Ignores, IgnoresForLong
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.process import Process

_FLAGS = ("--concurrency", "2", "--cancel-timeout", "0.1")


@pytest.fixture
def let_go(cluster: Cluster) -> Iterator[None]:  # noqa: ARG001, RUF100 - ends before the cluster does
    LET_GO.clear()
    yield
    LET_GO.append(True)


async def _worker(cluster: Cluster, *flags: str) -> Process:
    app = [] if cluster.kind == "memory" else ["--app", "tests.boundary.jobs"]
    return await cluster.worker("default", *app, *_FLAGS, *flags)


@pytest.mark.memory
@pytest.mark.usefixtures("let_go")
async def test_a_timeout_that_is_ignored_is_a_record_and_its_slot_is_replaced(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(Ignores(key="first"))
        record = (await cluster.failed_records(bus, 1))[0]
        for number in range(6):
            await bus.dispatch(Report(key=f"after {number}"))
        await cluster.recorder.count("ran", 6)
    assert record["reason"] == "timeout"
    assert "ignored its cancellation" in record["error"]


@pytest.mark.memory
@pytest.mark.usefixtures("let_go")
async def test_a_cancellation_that_is_ignored_frees_the_slot_too(cluster: Cluster) -> None:
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        job = await bus.dispatch(IgnoresForLong(key="x"))
        await cluster.recorder.count("tried", 1)
        await bus.cancel(job)
        await cluster.ask_until(
            bus, "status", lambda answer: answer and answer["state"] == "cancelled", id=str(job)
        )
        for number in range(6):
            await bus.dispatch(Report(key=f"after {number}"))
        await cluster.recorder.count("ran", 6)


@pytest.mark.slow
async def test_a_worker_whose_slots_are_all_lost_ends_with_an_error(
    mosquitto_alone: Cluster,
) -> None:
    """A supervisor, or systemd, starts the next one."""
    cluster = mosquitto_alone
    await cluster.scheduler()
    worker = await _worker(cluster, "--shutdown-timeout", "0.1")
    async with cluster.bus() as bus:
        await bus.dispatch(Ignores(key="one"))
        await bus.dispatch(Ignores(key="two"))
        await worker.says("every slot was lost")
        assert await worker.ended() == 1
        assert len(await cluster.failed_records(bus, 2)) == 2
        await _worker(cluster)
        await bus.dispatch(Report(key="after"))
        await cluster.recorder.count("ran", 1)


@pytest.mark.slow
async def test_sigterm_ends_a_worker_whose_job_ignores_it(mosquitto_alone: Cluster) -> None:
    cluster = mosquitto_alone
    await cluster.scheduler()
    worker = await _worker(cluster, "--shutdown-timeout", "0.5")
    async with cluster.bus() as bus:
        await bus.dispatch(IgnoresForLong(key="stubborn"))
        await cluster.recorder.count("tried", 1)
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0
        await worker.says("ignore their cancellation")
        await _worker(cluster)
        await cluster.recorder.count("tried", 2)  # it runs again elsewhere, uncharged
    assert {event["attempt"] for event in cluster.recorder.named("tried")} == {1}


@pytest.mark.slow
async def test_sigterm_ends_a_worker_whose_job_blocks_the_event_loop(
    mosquitto_alone: Cluster,
) -> None:
    cluster = mosquitto_alone
    await cluster.scheduler()
    worker = await _worker(cluster, "--shutdown-timeout", "0")
    async with cluster.bus() as bus:
        await bus.dispatch(BlocksTheLoop(key="blocks"))
        await cluster.recorder.count("waits", 1)
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 1
        await worker.says("ended by force")


@pytest.mark.slow
async def test_sighup_stops_a_lone_worker_politely(mosquitto_alone: Cluster) -> None:
    cluster = mosquitto_alone
    await cluster.scheduler()
    worker = await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(BlocksTheLoop(key="first"))
        await cluster.recorder.count("waits", 1)
        worker.send(signal.SIGHUP)
        worker.send(signal.SIGHUP)  # a terminal that closes may send two
        cluster.recorder.open("first")
        assert await worker.ended() == 0
    assert cluster.recorder.ran() == {"first": 1}
