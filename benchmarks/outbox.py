"""Bytes that an outbox writes for each job: ``python -m benchmarks.outbox``.

The kernel counts them (``write_bytes`` of ``/proc/self/io``): whole pages that were handed to the
disk, without the journal of the file system. ``--folder`` must not be a file system in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.machine import machine
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.outbox.options import OutboxOptions
from routeq_mqtt.outbox.outbox import Outbox
from routeq_mqtt.outbox.rows import OutboxJob
from routeq_mqtt.wire.ids import new_id

JOBS = 2_000
TASKS = 20
ENVELOPE = 300
WINDOW = 2_000


def written() -> int:
    """Bytes that this process has caused to be written to disks."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


async def measure(folder: Path, delay: float) -> tuple[float, float, float]:
    """Bytes per job to keep it, bytes per job to delete it, and jobs kept per second."""
    clock = SystemClock()
    outbox = Outbox(OutboxOptions(path=folder / "outbox.db", commit_delay=delay), clock)
    await outbox.open()

    async def produce() -> None:
        for _ in range(JOBS // TASKS):
            job = OutboxJob(
                id=new_id(),
                queue="default",
                stored=True,
                delayed=False,
                expires_at=None,
                kept_at=clock.now(),
                envelope=bytes(ENVELOPE),
            )
            await outbox.put([job])

    start, before = time.perf_counter(), written()
    await asyncio.gather(*(produce() for _ in range(TASKS)))
    seconds, kept = time.perf_counter() - start, written()
    while rows := await outbox.head(WINDOW):
        await outbox.settle(rows, [])
    await outbox.close()
    return (kept - before) / JOBS, (written() - kept) / JOBS, JOBS / seconds


async def main(folder: Path | None) -> None:
    """Measure and print a table."""
    print(f"{JOBS} jobs of {ENVELOPE} bytes from {TASKS} tasks; {machine()}\n")
    print("| commit_delay, s | bytes to keep a job | bytes to delete it | jobs kept/s |")
    print("|---|---|---|---|")
    for delay in (0.0, 0.01, 0.1, 1.0):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            keep, delete, rate = await measure(Path(place), delay)
        print(f"| {delay:g} | {keep:,.0f} | {delete:,.0f} | {rate:,.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: /tmp")
    asyncio.run(main(parser.parse_args().folder))
