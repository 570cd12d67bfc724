"""What an installation and an idle worker take: ``python -m benchmarks.footprint``.

Installs this checkout without extras into an environment of its own, starts a broker, a scheduler
and a worker from there, and measures. ``--runs``: workers started one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.machine import machine
from benchmarks.processes import rss
from tests.bed.bed import Bed
from tests.bed.process import ROOT, Process
from tests.bed.recorder import Recorder

SETTLED = 2.0
"""Seconds that a process gets to come to rest."""

MODULES = {
    "producer": "routeq_mqtt",
    "worker": "routeq_mqtt.worker.worker",
    "scheduler": "routeq_mqtt.scheduler.scheduler",
    "command line": "routeq_mqtt.cli",
}


def install(folder: Path, *flags: str) -> Path:
    """A fresh environment with this checkout in it; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet",
         "--disable-pip-version-check", *flags, str(ROOT)],
        check=True,
    )  # fmt: skip
    return python


def sizes(folder: Path) -> dict[str, float]:
    """MB of each thing in site-packages, the largest first; bytes of the files, not of blocks."""
    [packages] = folder.glob("lib/python*/site-packages")
    found = {
        entry.name: sum(f.stat().st_size for f in [entry, *entry.rglob("*")] if f.is_file()) / 1e6
        for entry in packages.iterdir()
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def compiled(folder: Path) -> list[str]:
    """Files with machine code: what needs a wheel for each kind of processor."""
    return sorted({path.name for path in folder.rglob("*.so")})


def after_import(python: Path, module: str) -> float:
    """Resident memory after an import, MB."""
    look = "print(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"
    code = f"import {module}; {look}"
    said = subprocess.run([str(python), "-c", code], check=True, capture_output=True, cwd="/")
    return int(said.stdout) / 1_000


async def idle(python: Path, bed: Bed) -> tuple[float, float]:
    """Resident memory of a scheduler and of a worker that have nothing to do, MB."""
    command = str(python.parent / "routeq-mqtt")
    env = bed.env | {"PYTHONPATH": ""}
    scheduler = await Process.start(
        "scheduler", command, "scheduler", "--db", str(bed.folder / "idle.db"), env=env
    )
    bed.processes.append(scheduler)
    await scheduler.says("online")
    worker = await Process.start("worker", command, "worker", env=env)
    bed.processes.append(worker)
    await worker.says("online")
    await asyncio.sleep(SETTLED)
    found = rss(scheduler.pid), rss(worker.pid)
    await worker.stop()
    await scheduler.stop()
    return found


async def main(runs: int) -> None:
    """Measure and print."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full, lean = install(folder / "full"), install(folder / "lean", "--no-compile")
        recorder = Recorder()
        await recorder.start()
        bed = Bed("mosquitto", folder, recorder)
        await bed.start_broker()
        try:
            figures = [await idle(lean, bed) for _ in range(runs)]
        finally:
            await bed.close()
            await recorder.stop()
        imports = {what: after_import(lean, module) for what, module in MODULES.items()}
        print("| what | MB |\n|---|---|")
        print(f"| site-packages, `pip install` | {sum(sizes(full.parents[1]).values()):.1f} |")
        print(
            "| site-packages, `pip install --no-compile`, after scheduler and worker have run | "
            f"{sum(sizes(lean.parents[1]).values()):.1f} |"
        )
        print(f"| idle worker, resident | {median(worker for _, worker in figures):.1f} |")
        print(f"| idle scheduler, resident | {median(one for one, _ in figures):.1f} |")
        for what, size in imports.items():
            print(f"| `import {MODULES[what]}` ({what}), resident | {size:.1f} |")
        print(f"\nmachine code: {', '.join(compiled(lean.parents[1]))}")
        largest = list(sizes(lean.parents[1]).items())[:6]
        print("largest: " + ", ".join(f"{name} {size:.1f}" for name, size in largest))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    asyncio.run(main(parser.parse_args().runs))
