"""Jobs that compute in processes of their own, and jobs that block threads, on every broker."""

from __future__ import annotations

import os
import signal

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.process import Process
from tests.cores.jobs import (
    BlocksAThread,
    Compute,
    ComputeAsync,
    Crashes,
    Errs,
    LateInAThread,
    Spins,
    Waits,
)
from tests.cores.slow_start import ImportsLong


async def _worker(cluster: Cluster, *flags: str) -> Process:
    return await cluster.worker("default", "--app", "tests.cores.jobs", *flags)


async def test_a_job_computes_in_a_process_that_is_kept_for_the_next(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await _worker(cluster, "--concurrency", "1")
    async with cluster.bus() as bus:
        await bus.dispatch(Compute(key="plain", numbers=(1, 2, 3)))
        await bus.dispatch(ComputeAsync(key="async"))
        await cluster.recorder.count("ran", 2)
    ran = cluster.recorder.named("ran")
    assert [event["key"] for event in ran] == ["plain", "async"]
    assert ran[0]["sum"] == 6
    assert {event["parent"] for event in ran} == {worker.pid}
    assert len({event["pid"] for event in ran}) == 1
    assert await worker.stop() == 0


async def test_a_timeout_kills_the_process_and_nothing_else_waits(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await _worker(cluster, "--concurrency", "2")
    async with cluster.bus() as bus:
        await bus.dispatch(Spins())
        await cluster.recorder.count("spins", 1)
        await bus.dispatch(Compute(key="meanwhile"))
        await cluster.recorder.count("failed", 1)
        await bus.dispatch(Compute(key="after"))
        await cluster.recorder.count("ran", 2)
        record = (await cluster.failed_records(bus, 1))[0]
    assert record["reason"] == "timeout"
    spun = cluster.recorder.named("spins")[0]["pid"]
    with pytest.raises(ProcessLookupError):
        os.kill(spun, 0)
    assert worker.running


async def test_the_start_of_the_process_does_not_count_against_the_timeout(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--app", "tests.cores.slow_start")
    async with cluster.bus() as bus:
        await bus.dispatch(ImportsLong())
        await cluster.recorder.count("ran", 1)
    assert cluster.recorder.named("ran")[0]["attempt"] == 1


@pytest.mark.parametrize(("how", "said"), [("exit", "exit code 7"), ("fault", "SIGSEGV")])
async def test_a_crash_is_that_jobs_failure_alone(cluster: Cluster, how: str, said: str) -> None:
    await cluster.scheduler()
    worker = await _worker(cluster, "--concurrency", "2")
    async with cluster.bus() as bus:
        await bus.dispatch(Waits(gate="go"))
        await cluster.recorder.count("waits", 1)
        await bus.dispatch(Crashes(how=how))
        record = (await cluster.failed_records(bus, 1))[0]
        cluster.recorder.open("go")
        await bus.dispatch(Compute(key="after"))
        await cluster.recorder.count("ran", 2)
    assert record["reason"] == "process died"
    assert said in record["error"]
    assert len(cluster.recorder.named("tried")) == 2
    assert {event["attempt"] for event in cluster.recorder.named("waits")} == {1}
    assert worker.running


async def test_errors_keep_their_meaning_on_the_way_out_of_the_process(cluster: Cluster) -> None:
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        for how in ("lookup", "fail", "retry"):
            await bus.dispatch(Errs(how=how))
        await cluster.recorder.count("ran", 1)
        records = await cluster.failed_records(bus, 2)
        assert {record["reason"] for record in records} == {
            "not to be retried",
            "failed on purpose",
        }
        lost = next(row for row in records if row["reason"] == "not to be retried")
        shown = await bus.requests.call("failed.show", id=lost["id"])
    assert "no such customer" in lost["error"]
    assert "in handle" in str(shown), "the traceback of the child"
    tried = [event["how"] for event in cluster.recorder.named("tried")]
    assert sorted(tried) == ["fail", "lookup", "retry", "retry"]


async def test_a_worker_that_is_killed_takes_its_processes_along(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(Waits(gate="go"))
        await cluster.recorder.count("waits", 1)
        first = cluster.recorder.named("waits")[0]["pid"]
        await worker.kill()
        await _worker(cluster)
        await cluster.recorder.count("waits", 2)
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 1)
    assert [event["pid"] == first for event in cluster.recorder.named("waits")] == [True, False]
    assert {event["attempt"] for event in cluster.recorder.named("ran")} == {2}


async def test_sigterm_of_worker_and_processes_alike_lets_the_job_end(cluster: Cluster) -> None:
    """As systemd does it: every process of the service gets the signal."""
    await cluster.scheduler()
    worker = await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(Waits(gate="go"))
        await cluster.recorder.count("waits", 1)
        os.kill(cluster.recorder.named("waits")[0]["pid"], signal.SIGTERM)
        worker.send(signal.SIGTERM)
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 1)
        assert await worker.ended() == 0
        assert await cluster.ask_until(bus, "failed.list", lambda rows: True) == []


async def test_jobs_that_block_all_threads_delay_nobody_else(cluster: Cluster) -> None:
    await cluster.scheduler()
    await _worker(cluster, "--concurrency", "6", "--threads", "2")
    async with cluster.bus() as bus:
        for _ in range(3):
            await bus.dispatch(BlocksAThread(gate="go"))
        await cluster.recorder.count("waits", 2)
        await bus.dispatch(Report(key="meanwhile"))
        await cluster.recorder.wait(lambda: "meanwhile" in cluster.recorder.ran())
        assert len(cluster.recorder.named("waits")) == 2, "the third waits for a thread"
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 4)
    assert cluster.recorder.ran() == {"meanwhile": 1, "thread": 3}


async def test_a_thread_that_overruns_its_timeout_is_waited_for_and_counts(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    worker = await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(LateInAThread())
        await cluster.recorder.count("ran", 1)
        await worker.says("its slot waits for it")
        assert await worker.stop() == 0
        assert await cluster.ask_until(bus, "failed.list", lambda rows: True) == []
    assert len(cluster.recorder.named("tried")) == 1
