"""What a job leaves behind reaches no other job, and does not end its worker."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.boundary.isolated_jobs import (
    EndsItsWorker,
    ExitsInACallback,
    ExitsInATask,
    ForksAndAwaits,
    Report,
    SetsTenant,
    Steers,
)
from tests.boundary.test_forks import _gone
from tests.cluster.cluster import Cluster
from tests.cluster.process import Process


async def _worker(cluster: Cluster, *flags: str) -> Process:
    apps = [] if cluster.kind == "memory" else ["--app", "tests.boundary.isolated_jobs"]
    return await cluster.worker("default", *apps, *flags)


def _has_run(cluster: Cluster, key: str) -> bool:
    return key in cluster.recorder.ran()


@pytest.mark.memory
async def test_a_context_variable_is_not_there_for_the_next_job(cluster: Cluster) -> None:
    await _worker(cluster, "--concurrency", "1")
    async with cluster.bus() as bus:
        for key in "abc":
            await bus.dispatch(SetsTenant(key=key))
            await cluster.recorder.wait(partial(_has_run, cluster, key))
    ran = cluster.recorder.named("ran")
    assert [(one["found"], one["kept"]) for one in ran] == [
        ("nobody", f"{key} began") for key in "abc"
    ]


@pytest.mark.memory
async def test_a_middleware_that_catches_each_exception_does_not_swallow_control(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(Steers(what="Release"))
        await cluster.recorder.count("ran", 1)
        ids = {await bus.dispatch(Steers(what=what)): what for what in ("Fail", "Retry")}
        records = {ids[one["id"]]: one for one in await cluster.failed_records(bus, 2)}
    tried = [one["key"] for one in cluster.recorder.named("tried")]
    assert sorted(tried) == ["Fail", "Release", "Release", "Retry", "Retry"]
    assert set(cluster.recorder.ran()) == {"Release"}
    assert records["Fail"]["reason"] == "failed on purpose"
    assert "later" in records["Retry"]["error"]


@pytest.mark.slow
async def test_a_fork_that_awaits_ends_where_it_does(mosquitto_alone: Cluster) -> None:
    cluster = mosquitto_alone
    worker = await _worker(cluster)
    async with cluster.bus() as bus:
        for how in ("slot", "task"):
            await bus.dispatch(ForksAndAwaits(how=how))
        await cluster.recorder.count("forked", 2)
        async with asyncio.timeout(30):
            for forked in cluster.recorder.named("forked"):
                await _gone(forked["child"])
        await bus.dispatch(Report(key="after"))
        await cluster.recorder.count("ran", 3)
    assert cluster.recorder.named("second worker") == []
    assert await worker.stop() == 0


@pytest.mark.slow
async def test_a_task_of_a_job_that_exits_is_an_error_of_that_task(
    mosquitto_alone: Cluster,
) -> None:
    cluster = mosquitto_alone
    worker = await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(ExitsInATask())
        await cluster.recorder.count("ran", 1)
        [ran] = cluster.recorder.ran()
        assert ran.startswith("RuntimeError")
        assert "SystemExit('0') in a task" in ran
        await bus.dispatch(Report(key="after"))
        await cluster.recorder.count("ran", 2)
        await bus.dispatch(ExitsInACallback())
        assert await worker.ended() == 1
    assert "ended by SystemExit(0) of a callback" in worker.output


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cancels all tasks", "stops the loop", "exits"])
async def test_a_job_that_ends_the_event_loop_ends_its_worker_and_leaves_no_half_of_it(
    mosquitto_alone: Cluster, how: str
) -> None:
    """Its slots would go on, without signal handlers, orders and an end."""
    cluster = mosquitto_alone
    await cluster.scheduler()
    worker = await _worker(cluster, "--concurrency", "2")
    async with cluster.bus() as bus:
        await bus.dispatch(EndsItsWorker(how=how))
        await cluster.recorder.count("ran", 1)
        assert await worker.ended(15.0) == 1
        await _worker(cluster)
        await bus.dispatch(Report(key="after"))
        await cluster.recorder.wait(lambda: "after" in cluster.recorder.ran())
