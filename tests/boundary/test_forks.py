"""What a job forks or starts is a child like any other: never a second worker, never left over."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from pathlib import Path

import pytest

from tests.boundary.fork_jobs import (
    Environment,
    Forks,
    ForksInAProcess,
    LeavesADaemon,
    LeavesAFork,
)
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.process import Process
from tests.cores.jobs import Compute

pytestmark = pytest.mark.slow


async def _worker(cluster: Cluster, *flags: str) -> Process:
    return await cluster.worker("default", "--app", "tests.boundary.fork_jobs", *flags)


async def _gone(pid: int) -> None:
    """Wait until a process has ended; a zombie has."""
    while True:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: ASYNC230, PTH123
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        await asyncio.sleep(0.02)


def _open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_children_of_jobs_are_ended_by_signals_and_the_worker_is_not(
    mosquitto_alone: Cluster,
) -> None:
    cluster = mosquitto_alone
    await cluster.scheduler()
    worker = await _worker(cluster)
    async with cluster.bus() as bus:
        for job in (Forks, ForksInAProcess):
            for how in ("pool", "terminate", "fork"):
                await bus.dispatch(job(how=how))
        await cluster.recorder.wait(
            lambda: cluster.recorder.ran() == {"pool": 2, "terminate": 2, "fork": 2}
        )
        await bus.dispatch(Report(key="after"))
        await cluster.recorder.count("ran", 7)
        assert await cluster.ask_until(bus, "failed.list", lambda rows: True) == []
    assert worker.running
    assert await worker.stop() == 0


async def test_a_process_that_dies_is_noticed_though_its_fork_lives(
    mosquitto_alone: Cluster,
) -> None:
    cluster = mosquitto_alone
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(LeavesAFork())
        record = (await cluster.failed_records(bus, 1))[0]
    assert record["reason"] == "process died"
    async with asyncio.timeout(30):
        await _gone(cluster.recorder.named("tried")[0]["child"])


async def test_a_timeout_kills_what_has_left_the_session_too(mosquitto_alone: Cluster) -> None:
    cluster = mosquitto_alone
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(LeavesADaemon())
        record = (await cluster.failed_records(bus, 1))[0]
    assert record["reason"] == "timeout"
    async with asyncio.timeout(30):
        await _gone(cluster.recorder.named("tried")[0]["child"])


async def test_a_job_process_leaves_pythonpath_as_it_is(mosquitto_alone: Cluster) -> None:
    cluster = mosquitto_alone
    await cluster.scheduler()
    worker = await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(Environment())
        await cluster.recorder.count("ran", 1)
    with open(f"/proc/{worker.pid}/environ", "rb") as environ:  # noqa: ASYNC230, PTH123
        had = dict(entry.split(b"=", 1) for entry in environ.read().split(b"\0") if entry)
    assert cluster.recorder.named("ran")[0]["path"] == had[b"PYTHONPATH"].decode()


async def test_a_process_that_cannot_be_started_costs_no_attempt(mosquitto_alone: Cluster) -> None:
    cluster = mosquitto_alone
    await cluster.scheduler()
    worker = await _worker(cluster, "--concurrency", "10")
    used = _open_files(worker.pid)
    _, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (used + 8, hard))
    async with cluster.bus() as bus:
        for number in range(20):
            await bus.dispatch(Compute(key=str(number)))
        await worker.says("no job process can be started")
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (1_024, hard))
        await cluster.recorder.count("ran", 20)
        assert await cluster.ask_until(bus, "failed.list", lambda rows: True) == []
    assert {event["attempt"] for event in cluster.recorder.named("ran")} == {1}
