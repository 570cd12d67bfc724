"""Whether the dashboard's memory stays flat while it streams: ``python -m benchmarks.streaming``.

Embedded broker, scheduler and dashboard are real processes; 50 workers on 200 queues report each
second. Ten tabs follow for ``--minutes``, and one more comes and goes all the time: what is kept of
a stream that is over would show. The last line has the medians of the second quarter, when what is
needed once has been loaded, and of the last one. The exit code is 1 above ``--most`` MB.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.dashboard import TABS, busy, fleet, open_board, watch
from benchmarks.machine import machine
from benchmarks.processes import cpu_seconds, rss
from tests.cluster.cluster import Cluster
from tests.cluster.recorder import Recorder

if TYPE_CHECKING:
    import httpx

    from tests.cluster.process import Process

SAMPLES = 24
"""Lines of the table."""

Sample = tuple[float, float, float]
"""Seconds since the start, resident MB, CPU seconds so far."""


async def come_and_go(board: httpx.AsyncClient, until: float) -> int:
    """Open a stream, take its first message, leave, and do so again; how often."""
    times = 0
    while time.monotonic() < until:
        async with board.stream("GET", "api/stream", headers={"user-agent": "come and go"}) as got:
            async for line in got.aiter_lines():
                if line.startswith(("data: ", "event: poll")):
                    break
        times += 1
        await asyncio.sleep(0.2)
    return times


async def sample(process: Process, until: float) -> list[Sample]:
    """Print a line of the table, again and again."""
    print(f"{'s':>6} {'MB':>7} {'CPU':>7}")
    began = time.monotonic()
    every = (until - began) / SAMPLES
    found: list[Sample] = []
    while time.monotonic() < until:
        await asyncio.sleep(every)
        at, spent = time.monotonic() - began, cpu_seconds(process.pid)
        before = found[-1] if found else (0.0, 0.0, spent)
        share = (spent - before[2]) / (at - before[0])
        found.append((at, rss(process.pid), spent))
        print(f"{at:6.0f} {found[-1][1]:7.1f} {share:7.1%}", flush=True)
    return found


async def main(minutes: float, most: float) -> bool:
    """Stream; whether the memory stayed below `most` MB."""
    print(machine())
    recorder = Recorder()
    await recorder.start()
    with tempfile.TemporaryDirectory() as name:
        cluster = Cluster("embedded", Path(name), recorder)
        try:
            await cluster.start_broker()
            await cluster.scheduler()
            async with cluster.bus() as bus:
                await fleet(bus, time.time())
                board, process = await open_board(cluster)
                until = time.monotonic() + 60 * minutes
                async with asyncio.TaskGroup() as group:
                    group.create_task(busy(bus, until))
                    tabs = [group.create_task(watch(board, until)) for _ in range(TABS)]
                    visits = group.create_task(come_and_go(board, until))
                    table = group.create_task(sample(process, until))
                await board.aclose()
        finally:
            await cluster.close()
            await recorder.stop()
    return _judge(table.result(), visits.result(), sum(tab.result() for tab in tabs), most)


def _judge(samples: list[Sample], times: int, sent: int, most: float) -> bool:
    quarter = len(samples) // 4
    second, last = (
        median(held for _, held, _ in part)
        for part in (samples[quarter : 2 * quarter], samples[-quarter:])
    )
    highest = max(held for _, held, _ in samples)
    print(f"{TABS} tabs, and {times:,} that came and went; {sent / 1e6:.1f} MB sent to the tabs")
    print(
        f"highest {highest:.1f} MB of {most:.0f}; second quarter {second:.1f}, last {last:.1f} MB"
    )
    return highest <= most


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--most", type=float, default=60.0, help="MB")
    options = parser.parse_args()
    sys.exit(not asyncio.run(main(options.minutes, options.most)))
