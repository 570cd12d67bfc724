"""Figures of idle and of long-running processes: memory, CPU, import, recovery."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from routeq_mqtt.bench.jobs import BenchNoop
from routeq_mqtt.bench.scenarios import RATE, Figures, noops
from routeq_mqtt.bench.stage import Stage
from routeq_mqtt.bench.workload import TEXT
from tests.cluster.process import ROOT, Process

IDLE_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> float:
    """Resident memory, MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1_000 if found else 0.0


def cpu_seconds(pid: int) -> float:
    """User and system time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def idle(stage: Stage, scheduler: Process) -> Figures:
    """Memory and CPU of an idle worker and an idle scheduler."""
    worker = await stage.worker()
    pids = {"worker": worker.pid, "scheduler": scheduler.pid}
    await asyncio.sleep(2)
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(IDLE_SECONDS)
    figures: Figures = {}
    for name, pid in pids.items():
        used = cpu_seconds(pid) - before[name]
        figures[f"idle {name}, CPU", "%"] = 100 * used / IDLE_SECONDS
        figures[f"idle {name}, RSS", "MB"] = rss(pid)
    return figures


async def recovery(stage: Stage) -> Figures:
    """The time from kill -9 of a worker with 1,000 waiting jobs until another one has run them."""
    number = 1_000
    async with stage.busy_workers():
        await stage.bus.bulk(noops(number), stage.queue)
        stage.counter.open_for_newcomers()
        lost = stage.processes.pop()
        await stage.worker()
        began = time.monotonic()
        lost.send_signal(signal.SIGKILL)
        await lost.wait()
        await stage.counter.ran(number)
        return {("recovery after kill -9", "s"): stage.counter.last - began}


def import_time(statement: str = "import routeq_mqtt", python: Path | None = None) -> float:
    """Milliseconds that an import adds to the start of Python, with bytecode as pip leaves it.

    Args:
        statement: the import.
        python: the interpreter of another environment.
    """
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def timed(code: str) -> float:
        began = time.monotonic()
        subprocess.run(
            [str(python or sys.executable), "-c", code],
            check=True, cwd="/" if python else ROOT, env=env,
        )  # fmt: skip
        return time.monotonic() - began

    with tempfile.TemporaryDirectory() as folder:
        env["PYTHONPYCACHEPREFIX"] = folder
        timed(statement)  # compiles
        pairs = [timed(statement) - timed("pass") for _ in range(20)]
    return 1_000 * median(pairs)


async def big_backlog(stage: Stage) -> Figures:
    """Drain a large backlog: the rate at its beginning and over all of it."""
    waiting = stage.load.backlog
    figures: Figures = {}
    async with stage.busy_workers():
        await stage.bus.bulk(noops(waiting), stage.queue, timeout=60)
        began = time.monotonic()
        stage.counter.open()
        for part in (5_000, 50_000, waiting):
            if part <= waiting:
                await stage.counter.ran(part, timeout=170)
                rate = stage.counter.count / (stage.counter.last - began)
                figures[f"drain with {waiting:,} waiting, first {part:,}", RATE] = rate
    return figures


async def small_and_big(settings_stage: Stage) -> Figures:
    """Drain a small and a large backlog: the cost per job must not grow."""
    figures: Figures = {}
    for waiting in (5_000, 500_000):
        load = replace(settings_stage.load, backlog=waiting)
        async with Stage(settings_stage.settings, load) as stage:
            figures |= await big_backlog(stage)
    return figures


async def memory(stage: Stage, jobs: int = 1_000_000) -> Figures:
    """A worker's memory and rate while it runs a million jobs."""
    worker = await stage.worker()
    figures: Figures = {}
    began = time.monotonic()
    for done in range(0, jobs, jobs // 10):
        await stage.bus.bulk(
            (BenchNoop(text=TEXT) for _ in range(jobs // 10)), stage.queue, timeout=60
        )
        await stage.counter.ran(done + jobs // 10)
        figures[f"worker RSS after {done + jobs // 10:,} jobs", "MB"] = rss(worker.pid)
    figures["both at once, 1,000,000 jobs", RATE] = jobs / (time.monotonic() - began)
    return figures
