"""What a large backlog costs the scheduler, on mosquitto: `python -m benchmarks.millions`.

``parked``: a million jobs that no worker has; the scheduler's memory, and how long `size` takes.
``adopted``: a dead worker's session with 100,000 messages; the scheduler's memory while it drains
them. ``killed``: the same while it is killed half-way. Names of parts choose; default all.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.machine import machine
from benchmarks.processes import rss
from routeq_mqtt.bench.scenarios import noops
from tests.cluster.cluster import Cluster
from tests.cluster.recorder import Recorder
from tests.faults.jobs import Work
from tests.faults.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from routeq_mqtt import Bus

PARKED = 1_000_000
ADOPTED = 100_000
_PART = 50_000
_BATCH = 500
"""Messages that an adoption commits at once."""


def peak(pid: int) -> float:
    """Peak resident memory of a process, MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1_000 if found else 0.0


@asynccontextmanager
async def fresh() -> AsyncIterator[Site]:
    """A broker in its own folder, and no other process."""
    recorder = Recorder()
    await recorder.start()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster("mosquitto", Path(folder), recorder)
        site = Site(cluster)
        try:
            await cluster.start_broker()
            yield site
        finally:
            await cluster.close()
            await recorder.stop()
            site.ledger.close()


async def parked(jobs: int) -> None:
    """Dispatch, wait until all are rows, and ask."""
    async with fresh() as site, site.cluster.bus() as bus:
        scheduler = await site.start_scheduler()
        row("parked: scheduler at rest, RSS", f"{rss(scheduler.pid):.0f} MB")
        began = time.monotonic()
        for first in range(0, jobs, _PART):
            await bus.bulk(noops(min(_PART, jobs - first)), timeout=120)
        await until_parked(bus, jobs)
        row(f"parked: {jobs:,} jobs, from dispatch to row", rate(jobs, began))
        row(
            "parked: scheduler RSS, peak", f"{rss(scheduler.pid):.0f}, {peak(scheduler.pid):.0f} MB"
        )
        row("parked: size(), 50 times", await timed_sizes(bus))


async def timed_sizes(bus: Bus) -> str:
    """Measure how long an answer takes."""
    times = []
    for _ in range(50):
        began = time.monotonic()
        await bus.size("default")
        times.append(1_000 * (time.monotonic() - began))
    return f"p50 {median(times):.1f} ms, max {max(times):.1f} ms"


async def adopted(jobs: int) -> None:
    """A dead session receives everything; one scheduler drains it, then another after a kill."""
    async with fresh() as site:
        await die_with(site, jobs)
        scheduler = await site.start_scheduler()
        atrest = rss(scheduler.pid)
        began = time.monotonic()
        async with site.cluster.bus() as bus:
            await until_parked(bus, jobs)
        row(f"adopted: {jobs:,} messages of a dead session", rate(jobs, began))
        row("adopted: scheduler RSS before, peak", f"{atrest:.0f}, {peak(scheduler.pid):.0f} MB")


async def killed(jobs: int) -> None:
    """The same with a scheduler that dies half-way: the next one has a row for each job."""
    async with fresh() as site:
        await die_with(site, jobs)
        dying = await site.start_dying_scheduler("adopting: after commit", jobs // _BATCH // 2)
        await dying.ended(timeout=120)
        scheduler = await site.start_scheduler()
        async with site.cluster.bus() as bus:
            await until_parked(bus, jobs)
            found = (await bus.size("default")).parked
        row("killed half-way: next scheduler RSS, peak", f"{peak(scheduler.pid):.0f} MB")
        row("killed half-way: lost, too many", f"{max(0, jobs - found)}, {max(0, found - jobs)}")


async def die_with(site: Site, jobs: int) -> None:
    """A worker that is killed while no scheduler runs: the broker goes on giving it every job."""
    worker = await site.start_worker()
    await site.kill_worker(worker)
    async with site.cluster.bus() as bus:
        for first in range(0, jobs, _PART):
            part = range(first, min(first + _PART, jobs))
            await bus.bulk((Work(key=str(number)) for number in part), timeout=120)


async def until_parked(bus: Bus, jobs: int) -> None:
    """Ask until the scheduler has a row for each."""
    async with asyncio.timeout(170):
        while (await bus.size("default")).parked < jobs:
            await asyncio.sleep(0.2)


def rate(jobs: int, began: float) -> str:
    """Jobs per second since then."""
    return f"{jobs / (time.monotonic() - began):,.0f} jobs/s"


def row(name: str, value: str) -> None:
    """A line of the table."""
    print(f"| {name} | {value} |", flush=True)


def main() -> None:
    """Print a table."""
    parts = {"parked": (parked, PARKED), "adopted": (adopted, ADOPTED), "killed": (killed, ADOPTED)}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.millions", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", default=list(parts))
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the jobs; default 1")
    told = parser.parse_args()
    print(f"{machine()}\n\n| what | figure |\n|---|---|")
    for name in told.parts:
        measure, jobs = parts[name]
        asyncio.run(measure(int(jobs * told.scale)))


if __name__ == "__main__":
    main()
