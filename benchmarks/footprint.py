"""What an installation and idle processes take: ``python -m benchmarks.footprint``.

Installs this checkout, without extras, into environments of their own, starts each service from
there, and measures; all of it with rich and without (docs/footprint.md), where commands that show
something run, too. ``--runs``: processes of each kind, started one after the other.
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
    SMALL_CARD,
    WITH_BROKER,
    compiled,
    install,
    packages,
    site_packages,
    size,
    uninstall,
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

READINGS = """
from routeq_mqtt import Job

class Reading(Job):
    celsius: float

    async def handle(self) -> None:
        print(f"{self.celsius} degrees", flush=True)
"""
"""What the worker runs."""

PRODUCER = """
from readings import Reading
from routeq_mqtt import SyncBus

bus = SyncBus()
bus.dispatch(Reading(celsius=21.5))
print(open("/proc/self/status").read().split("VmRSS:")[1].split()[0])
"""
"""A script that has dispatched a job, and what it takes."""

COMMANDS = (
    "--help", "workers", "queues", "devices", "failed list", "triggers list", "schedule list",
    "doctor",
)  # fmt: skip
"""Commands that show more than a line."""

Taken = dict[str, float]


async def idle_broker(python: Path, recorder: Recorder) -> Taken:
    """Resident memory, MB, of the embedded broker with nothing to do."""
    with tempfile.TemporaryDirectory() as name:
        async with broker_of(python, Path(name), recorder) as process:
            await asyncio.sleep(SETTLED)
            return {"embedded broker": rss(process.pid)}


async def idle(python: Path, recorder: Recorder, commands: tuple[str, ...] = ()) -> Taken:
    """Resident memory, MB, of each service with nothing to do; then a job, and commands."""
    with tempfile.TemporaryDirectory() as name:
        bed = Bed("mosquitto", Path(name), recorder)
        await bed.start_broker()
        try:
            db = str(bed.folder / "idle.db")
            (bed.folder / "readings.py").write_text(READINGS)
            scheduler = await service(bed, python, "scheduler", "--db", db)
            worker = await service(bed, python, "worker", "--app", "readings")
            await asyncio.sleep(SETTLED)
            taken = {"worker": rss(worker.pid), "scheduler": rss(scheduler.pid)}
            producer = await started(bed, python, "-P", "-c", PRODUCER)
            await succeeds(producer)
            await worker.says("21.5 degrees")
            taken["SyncBus producer, after a dispatch"] = int(producer.lines[-1]) / 1_000
            for command in commands:
                program = python.parent / "routeq-mqtt"
                await succeeds(await started(bed, program, *command.split()))
            await worker.stop()
        finally:
            await bed.close()
    return taken


async def service(bed: Bed, python: Path, *arguments: str) -> Process:
    """A service of an environment, online."""
    process = await started(bed, python.parent / "routeq-mqtt", *arguments)
    bed.processes.append(process)
    await process.says("online")
    return process


async def started(bed: Bed, program: Path, *arguments: str) -> Process:
    """A program that finds what is installed beside it and the jobs of this bus, no checkout."""
    env = bed.env | {"PYTHONPATH": str(bed.folder)}
    return await Process.start(arguments[0], str(program), *arguments, env=env)


async def succeeds(process: Process) -> None:
    """Wait for its end.

    Raises:
        RuntimeError: it failed.
    """
    if await process.ended() != 0:
        raise RuntimeError(f"{process.name}: {process.output}")


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


def print_sizes(default: tuple[Path, Path], small: tuple[Path, Path]) -> None:
    """What takes how much of the disk: each with bytecode, and without it but for what has run."""
    rows = (
        ("`pip install --no-compile`, as it comes", bare(default[1]), bare(small[1])),
        ("the same, after its first use", all_of(default[1]), all_of(small[1])),
        ("`pip install`: pip compiles everything", all_of(default[0]), all_of(small[0])),
    )
    print("| in site-packages, MB | default | small card |\n|---|---|---|")
    for what, *sizes in rows:
        print(f"| {what} | {' | '.join(f'{one:.1f}' for one in sizes)} |")
    full, _ = default
    print("\n| package | MB as it came | MB of bytecode |\n|---|---|---|")
    for name, (came, code) in packages(full).items():
        print(f"| {name} | {came:.2f} | {code:.2f} |")
    print(f"\nmachine code: {', '.join(compiled(full))}")


def bare(python: Path) -> float:
    """MB of an environment's packages without bytecode."""
    return sum(came for came, _ in packages(python).values())


def all_of(python: Path) -> float:
    """MB of all files in an environment."""
    return size(site_packages(python))


def installed(folder: Path, *without: str) -> tuple[Path, Path]:
    """Two environments, one with the bytecode of everything and one with none."""
    pair = install(folder / "full", *SLIM), install(folder / "lean", "--no-compile", *SLIM)
    for python in pair:
        if without:
            uninstall(python, *without)
    return pair


async def main(runs: int) -> None:
    """Measure and print."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        default, small = installed(folder / "default"), installed(folder / "small", *SMALL_CARD)
        with_broker = install(folder / "broker", *WITH_BROKER)
        recorder = Recorder()
        await recorder.start()
        try:
            figures = [
                await idle(default[1], recorder) | await idle_broker(with_broker, recorder)
                for _ in range(runs)
            ]
            await idle(small[1], recorder)
            print_sizes(default, small)
            await idle(small[1], recorder, COMMANDS)
            print(f"on a small card these ran: {', '.join(COMMANDS)}")
        finally:
            await recorder.stop()
        print_memory(figures, default[0])


def print_memory(figures: list[Taken], python: Path) -> None:
    """What processes take, and what an import does."""
    print("\n| resident memory | MB |\n|---|---|")
    for what in figures[0]:
        print(f"| idle {what} | {median(one[what] for one in figures):.1f} |")
    for what, module in MODULES.items():
        print(f"| `import {module}` ({what}) | {after_import(python, module):.1f} |")
    print("\n| import time | ms |\n|---|---|")
    for what, module in MODULES.items():
        took = import_time(f"import {module}", python)
        print(f"| `import {module}` ({what}) | {took:.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    asyncio.run(main(parser.parse_args().runs))
