"""What an installation and idle processes need: ``python -m benchmarks.footprint``.

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
from tests.cluster.cluster import Cluster
from tests.cluster.process import Process
from tests.cluster.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SETTLED = 2.0
"""Seconds until a process is assumed to be idle."""

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
"""A script that dispatches a job, then prints its memory in kB."""

COMMANDS = (
    "--help", "workers", "queues", "devices", "failed list", "triggers list", "schedule list",
    "doctor",
)  # fmt: skip
"""Commands whose output is longer than a line."""

Taken = dict[str, float]


async def idle_broker(python: Path, recorder: Recorder) -> Taken:
    """Resident memory of the idle embedded broker, MB."""
    with tempfile.TemporaryDirectory() as name:
        async with broker_of(python, Path(name), recorder) as process:
            await asyncio.sleep(SETTLED)
            return {"embedded broker": rss(process.pid)}


async def idle(python: Path, recorder: Recorder, commands: tuple[str, ...] = ()) -> Taken:
    """Resident memory of each idle service, MB; then a job runs, and commands."""
    with tempfile.TemporaryDirectory() as name:
        cluster = Cluster("mosquitto", Path(name), recorder)
        await cluster.start_broker()
        try:
            db = str(cluster.folder / "idle.db")
            (cluster.folder / "readings.py").write_text(READINGS)
            scheduler = await service(cluster, python, "scheduler", "--db", db)
            worker = await service(cluster, python, "worker", "--app", "readings")
            await asyncio.sleep(SETTLED)
            taken = {"worker": rss(worker.pid), "scheduler": rss(scheduler.pid)}
            producer = await started(cluster, python, "-P", "-c", PRODUCER)
            await succeeds(producer)
            await worker.says("21.5 degrees")
            taken["SyncBus producer, after a dispatch"] = int(producer.lines[-1]) / 1_000
            for command in commands:
                program = python.parent / "routeq-mqtt"
                await succeeds(await started(cluster, program, *command.split()))
            await worker.stop()
        finally:
            await cluster.close()
    return taken


async def service(cluster: Cluster, python: Path, *arguments: str) -> Process:
    """Start a service of an environment; it is online."""
    process = await started(cluster, python.parent / "routeq-mqtt", *arguments)
    cluster.processes.append(process)
    await process.says("online")
    return process


async def started(cluster: Cluster, program: Path, *arguments: str) -> Process:
    """Start a program that sees its environment's packages and the jobs, not the checkout."""
    env = cluster.env | {"PYTHONPATH": str(cluster.folder)}
    return await Process.start(arguments[0], str(program), *arguments, env=env)


async def succeeds(process: Process) -> None:
    """Wait until a program ends.

    Raises:
        RuntimeError: the program failed.
    """
    if await process.ended() != 0:
        raise RuntimeError(f"{process.name}: {process.output}")


@asynccontextmanager
async def broker_of(python: Path, folder: Path, recorder: Recorder) -> AsyncIterator[Process]:
    """The embedded broker of an environment."""
    cluster = Cluster("embedded", folder, recorder)
    command, db = str(python.parent / "routeq-mqtt"), str(folder / "broker.db")
    cluster.broker = await Process.start(
        "broker", command, "broker", "--bind", f"127.0.0.1:{cluster.port}", "--db", db,
        env=cluster.env | {"PYTHONPATH": ""},
    )  # fmt: skip
    try:
        await cluster.listening(cluster.port)
        yield cluster.broker
    finally:
        await cluster.close()


def after_import(python: Path, module: str) -> float:
    """Resident memory after an import, MB."""
    look = "print(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"
    code = f"import {module}; {look}"
    said = subprocess.run([str(python), "-c", code], check=True, capture_output=True, cwd="/")
    return int(said.stdout) / 1_000


def print_sizes(default: tuple[Path, Path], small: tuple[Path, Path]) -> None:
    """Disk usage, with all bytecode and with only that of modules that have run."""
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
    """Print the memory of processes and the cost of an import."""
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
