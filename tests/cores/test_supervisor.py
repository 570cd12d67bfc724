"""`worker --processes N` and `--max-memory`, with real signals, on every broker."""

from __future__ import annotations

import contextlib
import os
import signal

from routeq_mqtt import Bus
from tests.bed.bed import Bed
from tests.bed.process import Process
from tests.cores.jobs import Exits, Grows, Who


async def _workers(bed: Bed, *flags: str, number: int = 2) -> Process:
    worker = await bed.worker(
        "default", "--app", "tests.cores.jobs", "--processes", str(number), *flags
    )
    await worker.says(" online queues=", times=number)
    return worker


async def _hold(bed: Bed, bus: Bus, number: int) -> set[int]:
    """Jobs that wait at a gate, one in each process; the processes."""
    for at in range(number):
        await bus.dispatch(Who(key=f"held {at}", gate="go"))
    await bed.recorder.count("waits", number)
    return {event["pid"] for event in bed.recorder.named("waits")}


async def test_processes_share_the_work_and_stop_together(bed: Bed) -> None:
    await bed.scheduler()
    supervisor = await _workers(bed, "--concurrency", "1")
    async with bed.bus() as bus:
        pids = await _hold(bed, bus, 2)
        assert len(pids) == 2
        assert supervisor.pid not in pids
        supervisor.send(signal.SIGTERM)
        await supervisor.says("started pid", times=2)
        bed.recorder.open("go")
        assert await supervisor.ended() == 0
    assert bed.recorder.ran() == {"held 0": 1, "held 1": 1}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            raise AssertionError(f"worker process {pid} outlived its supervisor")


async def test_a_process_that_dies_is_started_again(bed: Bed) -> None:
    await bed.scheduler()
    supervisor = await _workers(bed)
    async with bed.bus() as bus:
        await bus.dispatch(Exits(key="dies"))
        await supervisor.says("ended with 9")
        await bed.recorder.wait(lambda: "dies" in bed.recorder.ran())
        await supervisor.says(" online queues=", times=3)
    assert await supervisor.stop() == 0


async def test_a_second_signal_ends_all_processes_at_once(bed: Bed) -> None:
    await bed.scheduler()
    supervisor = await _workers(bed, "--concurrency", "1")
    async with bed.bus() as bus:
        pids = await _hold(bed, bus, 2)
        supervisor.send(signal.SIGTERM)
        supervisor.send(signal.SIGINT)  # which of the two counts as the second is the kernel's
        assert await supervisor.ended() in {128 + signal.SIGINT, 128 + signal.SIGTERM}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            raise AssertionError(f"worker process {pid} is still there")


async def test_processes_stop_when_their_supervisor_is_killed(bed: Bed) -> None:
    await bed.scheduler()
    supervisor = await _workers(bed, "--concurrency", "1")
    async with bed.bus() as bus:
        await _hold(bed, bus, 2)
        supervisor.send(signal.SIGKILL)
        bed.recorder.open("go")
        await bed.recorder.count("ran", 2)
    # Their output is the supervisor's: it ends with the last of them.
    await supervisor.ended()
    assert sum("the supervisor is gone" in line for line in supervisor.lines) == 2


async def test_a_wrong_option_stops_all_processes(bed: Bed) -> None:
    code, output = await bed.cli(
        "worker", "--processes", "2", "--app", "no.such.module", "--queue", "default"
    )
    assert code == 4
    assert "there is no module" in output


async def test_too_much_memory_ends_a_worker_politely_with_its_own_exit_code(bed: Bed) -> None:
    await bed.scheduler()
    worker = await bed.worker("default", "--app", "tests.cores.jobs", "--max-memory", "120")
    async with bed.bus() as bus:
        await bus.dispatch(Grows(key="grows"))
        await bed.recorder.count("ran", 1)
        assert await worker.ended() == 6
        assert await bed.ask_until(bus, "failed.list", lambda rows: True) == []
    assert bed.recorder.ran() == {"grows": 1}


async def test_the_supervisor_replaces_a_process_with_too_much_memory(bed: Bed) -> None:
    await bed.scheduler()
    supervisor = await _workers(bed, "--max-memory", "120")
    async with bed.bus() as bus:
        await bus.dispatch(Grows(key="grows"))
        await supervisor.says(" online queues=", times=3)
        await bus.dispatch(Who(key="after"))
        await bed.recorder.wait(lambda: "after" in bed.recorder.ran())
    assert await supervisor.stop() == 0
