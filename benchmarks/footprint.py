"""What an installation and idle processes take: ``python -m benchmarks.footprint``.

Installs this checkout, without extras, into environments of their own, starts each service from
there, and measures. ``--runs``: processes of each kind, started one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.installed import (
    SLIM,
    WITH_BROKER,
    compiled,
    install,
    packages,
    site_packages,
    size,
)
from benchmarks.machine import machine
from benchmarks.processes import import_time, rss
from tests.bed.bed import Bed
from tests.bed.process import Process
from tests.bed.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SETTLED = 2.0
"""Seconds that a process gets to come to rest."""

MODULES = {
    "producer": "routeq_mqtt",
    "worker": "routeq_mqtt.worker.worker",
    "scheduler": "routeq_mqtt.scheduler.scheduler",
    "command line": "routeq_mqtt.cli",
}

PRODUCER = """
from routeq_mqtt import Job, SyncBus

class Reading(Job):
    celsius: float

    async def handle(self) -> None: ...

bus = SyncBus()
bus.dispatch(Reading(celsius=21.5))
print(open("/proc/self/status").read().split("VmRSS:")[1].split()[0])
"""
"""A script that has dispatched a job, and what it takes."""

Taken = dict[str, float]


async def idle(slim: Path, with_broker: Path, recorder: Recorder) -> Taken:
    """Resident memory, MB, of each service with nothing to do."""
    with tempfile.TemporaryDirectory() as name:
        async with broker_of(with_broker, Path(name), recorder) as process:
            await asyncio.sleep(SETTLED)
            broker = rss(process.pid)
    with tempfile.TemporaryDirectory() as name:
        bed = Bed("mosquitto", Path(name), recorder)
        await bed.start_broker()
        try:
            db = str(bed.folder / "idle.db")
            scheduler = await service(bed, slim, "scheduler", "--db", db)
            worker = await service(bed, slim, "worker")
            await asyncio.sleep(SETTLED)
            taken = {"worker": rss(worker.pid), "scheduler": rss(scheduler.pid)}
            producer = await Process.start("producer", str(slim), "-c", PRODUCER, env=bed.env)
            if await producer.ended() != 0:
                raise RuntimeError(producer.output)
            taken["SyncBus producer, after a dispatch"] = int(producer.lines[-1]) / 1_000
            await worker.stop()
        finally:
            await bed.close()
    return taken | {"embedded broker": broker}


async def service(bed: Bed, python: Path, *arguments: str) -> Process:
    """A service of an environment, online."""
    command = str(python.parent / "routeq-mqtt")
    env = bed.env | {"PYTHONPATH": ""}
    process = await Process.start(arguments[0], command, *arguments, env=env)
    bed.processes.append(process)
    await process.says("online")
    return process


@asynccontextmanager
async def broker_of(python: Path, folder: Path, recorder: Recorder) -> AsyncIterator[Process]:
    """The embedded broker of an environment."""
    bed = Bed("embedded", folder, recorder)
    command, db = str(python.parent / "routeq-mqtt"), str(folder / "broker.db")
    bed.broker = await Process.start(
        "broker", command, "broker", "--bind", f"127.0.0.1:{bed.port}", "--db", db,
        env=bed.env | {"PYTHONPATH": ""},
    )  # fmt: skip
    try:
        await bed.listening(bed.port)
        yield bed.broker
    finally:
        await bed.close()


def after_import(python: Path, module: str) -> float:
    """Resident memory after an import, MB."""
    look = "print(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"
    code = f"import {module}; {look}"
    said = subprocess.run([str(python), "-c", code], check=True, capture_output=True, cwd="/")
    return int(said.stdout) / 1_000


def print_sizes(full: Path, lean: Path) -> None:
    """What takes how much of the disk; `lean` was installed without bytecode, and has run."""
    whole, used = site_packages(full), site_packages(lean)
    found = packages(full)
    bare = sum(came for came, _ in found.values())
    print("| site-packages of a slim installation | MB |\n|---|---|")
    print(f"| `pip install`: with the bytecode of everything | {size(whole):.1f} |")
    print(f"| `pip install --no-compile` | {bare:.1f} |")
    print(f"| the same, after worker, scheduler and a producer have run | {size(used):.1f} |")
    print("\n| package | MB as it came | MB of bytecode |\n|---|---|---|")
    for name, (came, code) in found.items():
        print(f"| {name} | {came:.2f} | {code:.2f} |")
    print(f"\nmachine code: {', '.join(compiled(full))}")


async def main(runs: int) -> None:
    """Measure and print."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full = install(folder / "full", *SLIM)
        lean = install(folder / "lean", "--no-compile", *SLIM)
        with_broker = install(folder / "broker", *WITH_BROKER)
        recorder = Recorder()
        await recorder.start()
        try:
            figures = [await idle(lean, with_broker, recorder) for _ in range(runs)]
        finally:
            await recorder.stop()
        print_sizes(full, lean)
        print("\n| resident memory | MB |\n|---|---|")
        for what in figures[0]:
            print(f"| idle {what} | {median(one[what] for one in figures):.1f} |")
        for what, module in MODULES.items():
            print(f"| `import {module}` ({what}) | {after_import(full, module):.1f} |")
        print("\n| import time | ms |\n|---|---|")
        for what, module in MODULES.items():
            took = import_time(f"import {module}", full)
            print(f"| `import {module}` ({what}) | {took:.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    asyncio.run(main(parser.parse_args().runs))
