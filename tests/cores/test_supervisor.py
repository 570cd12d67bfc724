"""`worker --processes N` and `--max-memory`, with real signals, on every broker."""

from __future__ import annotations

import contextlib
import os
import signal

from routeq_mqtt import Bus
from tests.cluster.cluster import Cluster
from tests.cluster.process import Process
from tests.cores.jobs import Exits, Grows, Who


async def _workers(cluster: Cluster, *flags: str, number: int = 2) -> Process:
    worker = await cluster.worker(
        "default", "--app", "tests.cores.jobs", "--processes", str(number), *flags
    )
    await worker.says(" online queues=", times=number)
    return worker


async def _hold(cluster: Cluster, bus: Bus, number: int) -> set[int]:
    """Jobs that wait at a gate, one in each process; the processes."""
    for at in range(number):
        await bus.dispatch(Who(key=f"held {at}", gate="go"))
    await cluster.recorder.count("waits", number)
    return {event["pid"] for event in cluster.recorder.named("waits")}


async def test_processes_share_the_work_and_stop_together(cluster: Cluster) -> None:
    await cluster.scheduler()
    supervisor = await _workers(cluster, "--concurrency", "1")
    async with cluster.bus() as bus:
        pids = await _hold(cluster, bus, 2)
        assert len(pids) == 2
        assert supervisor.pid not in pids
        supervisor.send(signal.SIGTERM)
        await supervisor.says("started pid", times=2)
        cluster.recorder.open("go")
        assert await supervisor.ended() == 0
    assert cluster.recorder.ran() == {"held 0": 1, "held 1": 1}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            raise AssertionError(f"worker process {pid} outlived its supervisor")


async def test_a_process_that_dies_is_started_again(cluster: Cluster) -> None:
    await cluster.scheduler()
    supervisor = await _workers(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(Exits(key="dies"))
        await supervisor.says("ended with 9")
        await cluster.recorder.wait(lambda: "dies" in cluster.recorder.ran())
        await supervisor.says(" online queues=", times=3)
    assert await supervisor.stop() == 0


async def test_a_second_signal_ends_all_processes_at_once(cluster: Cluster) -> None:
    await cluster.scheduler()
    supervisor = await _workers(cluster, "--concurrency", "1")
    async with cluster.bus() as bus:
        pids = await _hold(cluster, bus, 2)
        supervisor.send(signal.SIGTERM)
        supervisor.send(signal.SIGINT)  # which of the two counts as the second is the kernel's
        assert await supervisor.ended() in {128 + signal.SIGINT, 128 + signal.SIGTERM}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            raise AssertionError(f"worker process {pid} is still there")


async def test_processes_stop_when_their_supervisor_is_killed(cluster: Cluster) -> None:
    await cluster.scheduler()
    supervisor = await _workers(cluster, "--concurrency", "1")
    async with cluster.bus() as bus:
        await _hold(cluster, bus, 2)
        supervisor.send(signal.SIGKILL)
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 2)
    # Their output is the supervisor's: it ends with the last of them.
    await supervisor.ended()
    assert sum("the supervisor is gone" in line for line in supervisor.lines) == 2


async def test_a_wrong_option_stops_all_processes(cluster: Cluster) -> None:
    code, output = await cluster.cli(
        "worker", "--processes", "2", "--app", "no.such.module", "--queue", "default"
    )
    assert code == 4
    assert "there is no module" in output


async def test_too_much_memory_ends_a_worker_politely_with_its_own_exit_code(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    worker = await cluster.worker("default", "--app", "tests.cores.jobs", "--max-memory", "120")
    async with cluster.bus() as bus:
        await bus.dispatch(Grows(key="grows"))
        await cluster.recorder.count("ran", 1)
        assert await worker.ended() == 6
        assert await cluster.ask_until(bus, "failed.list", lambda rows: True) == []
    assert cluster.recorder.ran() == {"grows": 1}


async def test_the_supervisor_replaces_a_process_with_too_much_memory(cluster: Cluster) -> None:
    await cluster.scheduler()
    supervisor = await _workers(cluster, "--max-memory", "120")
    async with cluster.bus() as bus:
        await bus.dispatch(Grows(key="grows"))
        await supervisor.says(" online queues=", times=3)
        await bus.dispatch(Who(key="after"))
        await cluster.recorder.wait(lambda: "after" in cluster.recorder.ran())
    assert await supervisor.stop() == 0
