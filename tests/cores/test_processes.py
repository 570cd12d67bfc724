"""Jobs that compute in processes of their own, and jobs that block threads, on every broker."""

from __future__ import annotations

import os
import signal

import pytest

from tests.bed.bed import Bed
from tests.bed.jobs import Report
from tests.bed.process import Process
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


async def _worker(bed: Bed, *flags: str) -> Process:
    return await bed.worker("default", "--app", "tests.cores.jobs", *flags)


async def test_a_job_computes_in_a_process_that_is_kept_for_the_next(bed: Bed) -> None:
    await bed.scheduler()
    worker = await _worker(bed, "--concurrency", "1")
    async with bed.bus() as bus:
        await bus.dispatch(Compute(key="plain", numbers=(1, 2, 3)))
        await bus.dispatch(ComputeAsync(key="async"))
        await bed.recorder.count("ran", 2)
    ran = bed.recorder.named("ran")
    assert [event["key"] for event in ran] == ["plain", "async"]
    assert ran[0]["sum"] == 6
    assert {event["parent"] for event in ran} == {worker.pid}
    assert len({event["pid"] for event in ran}) == 1
    assert await worker.stop() == 0


async def test_a_timeout_kills_the_process_and_nothing_else_waits(bed: Bed) -> None:
    await bed.scheduler()
    worker = await _worker(bed, "--concurrency", "2")
    async with bed.bus() as bus:
        await bus.dispatch(Spins())
        await bed.recorder.count("spins", 1)
        await bus.dispatch(Compute(key="meanwhile"))
        await bed.recorder.count("failed", 1)
        await bus.dispatch(Compute(key="after"))
        await bed.recorder.count("ran", 2)
        record = (await bed.failed_records(bus, 1))[0]
    assert record["reason"] == "timeout"
    spun = bed.recorder.named("spins")[0]["pid"]
    with pytest.raises(ProcessLookupError):
        os.kill(spun, 0)
    assert worker.running


async def test_the_start_of_the_process_does_not_count_against_the_timeout(bed: Bed) -> None:
    await bed.scheduler()
    await bed.worker("default", "--app", "tests.cores.slow_start")
    async with bed.bus() as bus:
        await bus.dispatch(ImportsLong())
        await bed.recorder.count("ran", 1)
    assert bed.recorder.named("ran")[0]["attempt"] == 1


@pytest.mark.parametrize(("how", "said"), [("exit", "exit code 7"), ("fault", "SIGSEGV")])
async def test_a_crash_is_that_jobs_failure_alone(bed: Bed, how: str, said: str) -> None:
    await bed.scheduler()
    worker = await _worker(bed, "--concurrency", "2")
    async with bed.bus() as bus:
        await bus.dispatch(Waits(gate="go"))
        await bed.recorder.count("waits", 1)
        await bus.dispatch(Crashes(how=how))
        record = (await bed.failed_records(bus, 1))[0]
        bed.recorder.open("go")
        await bus.dispatch(Compute(key="after"))
        await bed.recorder.count("ran", 2)
    assert record["reason"] == "process died"
    assert said in record["error"]
    assert len(bed.recorder.named("tried")) == 2
    assert {event["attempt"] for event in bed.recorder.named("waits")} == {1}
    assert worker.running


async def test_errors_keep_their_meaning_on_the_way_out_of_the_process(bed: Bed) -> None:
    await bed.scheduler()
    await _worker(bed)
    async with bed.bus() as bus:
        for how in ("lookup", "fail", "retry"):
            await bus.dispatch(Errs(how=how))
        await bed.recorder.count("ran", 1)
        records = await bed.failed_records(bus, 2)
        assert {record["reason"] for record in records} == {
            "not to be retried",
            "failed on purpose",
        }
        lost = next(row for row in records if row["reason"] == "not to be retried")
        shown = await bus.requests.call("failed.show", id=lost["id"])
    assert "no such customer" in lost["error"]
    assert "in handle" in str(shown), "the traceback of the child"
    tried = [event["how"] for event in bed.recorder.named("tried")]
    assert sorted(tried) == ["fail", "lookup", "retry", "retry"]


async def test_a_worker_that_is_killed_takes_its_processes_along(bed: Bed) -> None:
    await bed.scheduler()
    worker = await _worker(bed)
    async with bed.bus() as bus:
        await bus.dispatch(Waits(gate="go"))
        await bed.recorder.count("waits", 1)
        first = bed.recorder.named("waits")[0]["pid"]
        await worker.kill()
        await _worker(bed)
        await bed.recorder.count("waits", 2)
        bed.recorder.open("go")
        await bed.recorder.count("ran", 1)
    assert [event["pid"] == first for event in bed.recorder.named("waits")] == [True, False]
    assert {event["attempt"] for event in bed.recorder.named("ran")} == {2}


async def test_sigterm_of_worker_and_processes_alike_lets_the_job_end(bed: Bed) -> None:
    """As systemd does it: every process of the service gets the signal."""
    await bed.scheduler()
    worker = await _worker(bed)
    async with bed.bus() as bus:
        await bus.dispatch(Waits(gate="go"))
        await bed.recorder.count("waits", 1)
        os.kill(bed.recorder.named("waits")[0]["pid"], signal.SIGTERM)
        worker.send(signal.SIGTERM)
        bed.recorder.open("go")
        await bed.recorder.count("ran", 1)
        assert await worker.ended() == 0
        assert await bed.ask_until(bus, "failed.list", lambda rows: True) == []


async def test_jobs_that_block_all_threads_delay_nobody_else(bed: Bed) -> None:
    await bed.scheduler()
    await _worker(bed, "--concurrency", "6", "--threads", "2")
    async with bed.bus() as bus:
        for _ in range(3):
            await bus.dispatch(BlocksAThread(gate="go"))
        await bed.recorder.count("waits", 2)
        await bus.dispatch(Report(key="meanwhile"))
        await bed.recorder.wait(lambda: "meanwhile" in bed.recorder.ran())
        assert len(bed.recorder.named("waits")) == 2, "the third waits for a thread"
        bed.recorder.open("go")
        await bed.recorder.count("ran", 4)
    assert bed.recorder.ran() == {"meanwhile": 1, "thread": 3}


async def test_a_thread_that_overruns_its_timeout_is_waited_for_and_counts(bed: Bed) -> None:
    await bed.scheduler()
    worker = await _worker(bed)
    async with bed.bus() as bus:
        await bus.dispatch(LateInAThread())
        await bed.recorder.count("ran", 1)
        await worker.says("its slot waits for it")
        assert await worker.stop() == 0
        assert await bed.ask_until(bus, "failed.list", lambda rows: True) == []
    assert len(bed.recorder.named("tried")) == 1
