"""Bytes that an outbox writes per job: ``python -m benchmarks.outbox``.

The kernel counts them (``write_bytes`` of ``/proc/self/io``): whole pages that were handed to the
disk, without the journal of the file system. ``--folder`` must not be a file system in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.machine import machine
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.outbox.options import OutboxOptions
from routeq_mqtt.outbox.outbox import Outbox
from routeq_mqtt.outbox.rows import OutboxJob
from routeq_mqtt.wire.ids import new_id

JOBS = 500
RATE = 50.0
"""Jobs per second, like a handful of sensors; a producer does not wait for the previous job."""

ENVELOPE = 300
WINDOW = 2_000


def written() -> int:
    """Bytes that this process has written to disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


async def measure(folder: Path, delay: float) -> tuple[float, float, float]:
    """Bytes per job to store it, bytes per job to delete it, and seconds to store one."""
    clock = SystemClock()
    outbox = Outbox(OutboxOptions(path=folder / "outbox.db", commit_delay=delay), clock)
    await outbox.open()

    async def keep() -> float:
        began = time.perf_counter()
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
        return time.perf_counter() - began

    before = written()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for _ in range(JOBS):
            tasks.append(group.create_task(keep()))
            await asyncio.sleep(1 / RATE)
    kept = written()
    while rows := await outbox.head(WINDOW):
        await outbox.settle(rows, [])
    await outbox.close()
    took = median(task.result() for task in tasks)
    return (kept - before) / JOBS, (written() - kept) / JOBS, took


async def main(folder: Path | None) -> None:
    """Measure and print a table."""
    print(f"{JOBS} jobs of {ENVELOPE} bytes, {RATE:g} per second; {machine()}\n")
    print("| commit_delay, s | bytes to keep a job | bytes to delete it | dispatch takes, s |")
    print("|---|---|---|---|")
    for delay in (0.0, 0.1, 1.0, 5.0):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            keep, delete, took = await measure(Path(place), delay)
        print(f"| {delay:g} | {keep:,.0f} | {delete:,.0f} | {took:.3f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: /tmp")
    asyncio.run(main(parser.parse_args().folder))
