"""CPU time for each job, by process and path: figures that a busy machine changes little.

``python -m benchmarks.cpu drain parked --jobs 20000 --runs 3``; without names: all paths. Broker
(mosquitto), scheduler and worker are real processes. It uses only what earlier versions have, too,
so that two checkouts can be compared on one machine:

    git worktree add ../old c429960
    python -m benchmarks.cpu
    here=$PWD; (cd ../old && PYTHONPATH=$PWD:$PWD/broker python $here/benchmarks/cpu.py)

(From its own folder: ``python -m``, as workers are started, looks there first.)

A row is one process: `loop` is its main thread, `threads` are its others (SQLite, presence).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import routeq_mqtt
from routeq_mqtt.bench.scenarios import connect, noops, packed, publish
from routeq_mqtt.bench.stage import Stage
from routeq_mqtt.bench.workload import FULL

try:
    from routeq_mqtt.settings.settings import Settings
except ImportError:  # where it was in earlier versions
    from routeq_mqtt.settings import Settings  # type: ignore[attr-defined,no-redef]

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Key = tuple[str, str, str]
Figures = dict[Key, float]
"""Path, process and part of it -> microseconds for each job."""

_ROUND_TRIPS = 5
"""Divides the number of one-by-one dispatches, which are slow: each waits for the one before."""


def cpu(pid: int) -> dict[str, int]:
    """CPU time so far in nanoseconds: the main thread, and all others."""
    used = {"loop": 0, "threads": 0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            spent = int((task / "schedstat").read_text().split()[0])
            used["loop" if task.name == str(pid) else "threads"] += spent
    return used


class Meter:
    """Reads the CPU time of some processes before and after a path."""

    def __init__(self, path: str, jobs: int) -> None:
        self._path = path
        self._jobs = jobs
        self._before: dict[str, tuple[int, dict[str, int]]] = {}

    def begin(self, **pids: int) -> None:
        """Start measuring these processes, by name."""
        self._before |= {name: (pid, cpu(pid)) for name, pid in pids.items()}

    def end(self) -> Figures:
        """The CPU time used since `start`."""
        figures: Figures = {}
        for name, (pid, before) in self._before.items():
            for part, now in cpu(pid).items():
                figures[self._path, name, part] = (now - before[part]) / 1_000 / self._jobs
        return figures


class Bench:
    """A broker and a scheduler, and what every path needs."""

    def __init__(self, settings: Settings, jobs: int, broker: int, scheduler: int) -> None:
        self.settings = settings
        self.jobs = jobs
        self.shared = {"mosquitto": broker, "scheduler": scheduler, "client": os.getpid()}

    def stage(self) -> Stage:
        """A new queue, its workers, and how many jobs they ran."""
        return Stage(self.settings, FULL)


async def drain(bench: Bench) -> Figures:
    """Drain a backlog that waits in the broker."""
    meter = Meter("express drain", bench.jobs)
    async with bench.stage() as stage, stage.busy_workers():
        await stage.bus.bulk(noops(bench.jobs), stage.queue, timeout=60)
        meter.begin(worker=stage.processes[0].pid, **bench.shared)
        stage.counter.open()
        await stage.counter.ran(bench.jobs)
        return meter.end()


async def parked(bench: Bench) -> Figures:
    """Park jobs while there is no worker, then start a worker that runs them."""
    intake = Meter("intake (parking)", bench.jobs)
    feeding = Meter("parked drain", bench.jobs)
    async with bench.stage() as stage:
        intake.begin(**bench.shared)
        await stage.bus.bulk(noops(bench.jobs), stage.queue, timeout=60)
        while (await stage.bus.size(stage.queue)).parked < bench.jobs:
            await asyncio.sleep(0.1)
        figures = intake.end()
        feeding.begin(**bench.shared)
        worker = await stage.worker()
        feeding.begin(worker=worker.pid)
        await stage.counter.ran(bench.jobs)
        return figures | feeding.end()


async def through(bench: Bench) -> Figures:
    """From an MQTT 3.1.1 producer on ``$queue/<name>`` to the worker."""
    meter = Meter("$queue to worker", bench.jobs)
    async with bench.stage() as stage:
        worker = await stage.worker()
        payloads = packed(stage.queue, noops(bench.jobs))
        connection = await connect(bench.settings, "3.1.1")
        meter.begin(worker=worker.pid, **bench.shared)
        await publish(connection, bench.settings.topics().intake(stage.queue), payloads)
        await stage.counter.ran(bench.jobs)
        await connection.close()
        return meter.end()


async def one_by_one(bench: Bench) -> Figures:
    """`dispatch`, the next one when the last one is held; with a worker, and without."""
    number = bench.jobs // _ROUND_TRIPS
    figures: Figures = {}
    async with bench.stage() as stage, stage.busy_workers():
        figures |= await _dispatched(stage, bench, Meter("one by one, a worker", number), number)
    async with bench.stage() as stage:
        figures |= await _dispatched(stage, bench, Meter("one by one, no worker", number), number)
        while (await stage.bus.size(stage.queue)).parked < number:
            await asyncio.sleep(0.1)
    return figures


async def _dispatched(stage: Stage, bench: Bench, meter: Meter, number: int) -> Figures:
    meter.begin(**bench.shared)
    for job in noops(number):
        await stage.bus.dispatch(job, queue=stage.queue)
    return meter.end()


async def concurrent(bench: Bench) -> Figures:
    """`dispatch` from 100 tasks at once, then `bulk`."""
    meter, callers = Meter("100 concurrent dispatch", bench.jobs), 100

    async def caller(stage: Stage) -> None:
        for job in noops(bench.jobs // callers):
            await stage.bus.dispatch(job, queue=stage.queue)

    async with bench.stage() as stage, stage.busy_workers():
        meter.begin(**bench.shared)
        await asyncio.gather(*(caller(stage) for _ in range(callers)))
        figures = meter.end()
        meter = Meter("bulk", bench.jobs)
        meter.begin(**bench.shared)
        await stage.bus.bulk(noops(bench.jobs), stage.queue, timeout=60)
        return figures | meter.end()


PATHS: dict[str, Callable[[Bench], Awaitable[Figures]]] = {
    "drain": drain,
    "parked": parked,
    "through": through,
    "dispatch": one_by_one,
    "concurrent": concurrent,
}


@contextlib.asynccontextmanager
async def bench_under(folder: Path, jobs: int) -> AsyncIterator[Bench]:
    """A mosquitto as shipped and a scheduler; both stop at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
        f"persistence_location {folder}/\nmax_queued_messages 0\nmax_inflight_messages 0\n"
        "autosave_interval 10\nset_tcp_nodelay true\nuser root\n"
    )
    settings = Settings(url=f"mqtt://127.0.0.1:{port}")
    where = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if where is None:
        raise SystemExit("mosquitto is not installed")
    nowhere = asyncio.subprocess.DEVNULL
    broker = await asyncio.create_subprocess_exec(
        where, "-c", str(folder / "mosquitto.conf"), stdout=nowhere, stderr=nowhere
    )
    scheduler = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "routeq_mqtt.cli", "scheduler", "--db", str(folder / "scheduler.db"),
        env=os.environ | {"ROUTEQ_URL": settings.url},
        stdout=nowhere, stderr=nowhere,
    )  # fmt: skip
    try:
        async with Stage(settings, FULL) as stage:
            await stage.bus.sender.surroundings.scheduler_changed.wait(10)
        yield Bench(settings, jobs, broker.pid, scheduler.pid)
    finally:
        for process in (scheduler, broker):
            process.terminate()
            await process.wait()


async def measure(names: list[str], jobs: int, runs: int) -> dict[Key, list[float]]:
    """Run all paths, each run on its own bus."""
    found: dict[Key, list[float]] = {}
    for name in names:
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                async with bench_under(Path(folder), jobs) as bench:
                    for key, spent in (await PATHS[name](bench)).items():
                        found.setdefault(key, []).append(spent)
    return found


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__)
    parser.add_argument("paths", nargs="*", help=f"of {', '.join(PATHS)}")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    told = parser.parse_args()
    began = time.monotonic()
    found = asyncio.run(measure(told.paths or list(PATHS), told.jobs, told.runs))
    print(f"{Path(routeq_mqtt.__file__).parent}: {told.jobs:,} jobs, {told.runs} runs, us a job")
    print(f"{'path':26} {'process':10} {'part':8} {'least':>7} {'median':>7}")
    for (path, process, part), spent in found.items():
        if max(spent) >= 0.5:
            row = f"{path:26} {process:10} {part:8}"
            print(f"{row} {min(spent):7.1f} {median(spent):7.1f}")
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
