"""What the dashboard costs on a large bus: ``python -m benchmarks.dashboard``.

500,000 delayed jobs, 20,000 failed records, 200 queues, 50 workers. How long the first answer of
each page takes, what the process holds after streaming to ten tabs, and what the scheduler spends.
``--rows``, ``--seconds``: a smaller bus, a longer stream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sqlite3
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.machine import machine
from benchmarks.processes import cpu_seconds, rss
from routeq_mqtt.presence.status import HEARTBEAT
from routeq_mqtt.wire.messages.status import WorkerLoad, WorkerStatus, encode
from tests.cluster.cluster import Cluster, free_port
from tests.cluster.jobs import Hopeless, Report
from tests.cluster.process import Process
from tests.cluster.recorder import Recorder

if TYPE_CHECKING:
    from routeq_mqtt import Bus

QUEUES, WORKERS, TABS = 200, 50, 10
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "overview: failures": ("failed.groups", {"limit": 6}),
    "overview: 8 hours": ("stats.history", {}),
    "jobs, delayed": ("jobs.list", {"state": "delayed", "limit": 50, "with_data": True}),
    "jobs of a queue": ("jobs.list", {"state": "delayed", "queue": "q7", "limit": 50}),
    "failed, groups": ("failed.groups", {"limit": 100}),
    "failed, records": ("jobs.list", {"state": "failed", "limit": 50}),
    "failed, counted": ("failed.count", {}),
    "schedules": ("schedule.list", {}),
    "devices": ("device.list", {}),
    "limits": ("orders", {}),
    "audit": ("audit.list", {"limit": 50}),
}


def fill(db: Path, rows: int, failed: int) -> None:
    """Copies of one delayed job and of one failed record, over all queues."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
    with sqlite3.connect(db) as there:
        for table, many, changes in (
            ("jobs", rows, {"id": "'bench-' || i", "queue": f"'q' || (i % {QUEUES})",
                            "run_at": "run_at + i", "seq": "seq + i"}),
            ("failed", failed, {"id": "'failed-' || i", "queue": f"'q' || (i % {QUEUES})",
                                "failed_at": "failed_at - i"}),
        ):  # fmt: skip
            names = [row[1] for row in there.execute(f"PRAGMA table_info({table})")]
            chosen = ", ".join(changes.get(name, name) for name in names)
            there.execute(
                f"{numbers} INSERT INTO {table} SELECT {chosen} FROM n, "  # noqa: S608
                f"(SELECT * FROM {table} LIMIT 1)",
                (many,),
            )


async def fleet(bus: Bus, started_at: float) -> None:
    """Statuses of online workers; without a new one now and then, they are given up."""
    connection = await bus.sender.link.ready()
    for number in range(WORKERS):
        name = f"worker-{number}"
        queues = [f"q{queue}" for queue in range(number, QUEUES, WORKERS)]
        status = WorkerStatus(
            id=name, state="online", queues=queues, sessions=[f"{name}/{one}" for one in queues],
            concurrency=10, at=time.time(), started_at=started_at, version="0",
        )  # fmt: skip
        await connection.publish(f"routeq/workers/{name}", encode(status), retain=True)


async def busy(bus: Bus, until: float) -> None:
    """Changing loads, like those of busy workers."""
    connection = await bus.sender.link.ready()
    turn, started_at, beats_at = 0, time.time(), 0.0
    while time.monotonic() < until:
        turn += 1
        if time.monotonic() >= beats_at:
            await fleet(bus, started_at)
            beats_at = time.monotonic() + HEARTBEAT
        for number in range(WORKERS):
            load = WorkerLoad(active={f"q{number}": turn % 10}, counters={"done": turn})
            await connection.publish(f"routeq/running/worker-{number}", encode(load), retain=True)
        await asyncio.sleep(1)


async def watch(board: httpx.AsyncClient, until: float) -> int:
    """One browser tab: streams, or polls once it is told to; returns how many bytes it got."""
    got = 0
    async with board.stream("GET", "api/stream") as answer:
        async for chunk in answer.aiter_bytes():
            got += len(chunk)
            if b"event: poll" in chunk or time.monotonic() > until:
                break
    while time.monotonic() < until:
        got += len((await board.get("api/state")).content)
        await asyncio.sleep(5)
    return got


async def main(rows: int, failed: int, seconds: float) -> None:
    print(machine())
    recorder = Recorder()
    await recorder.start()
    with tempfile.TemporaryDirectory() as name:
        cluster = Cluster("embedded", Path(name), recorder)
        try:
            await cluster.start_broker()
            await _prepare(cluster, rows, failed)
            scheduler = await cluster.scheduler()
            async with cluster.bus() as bus:
                await fleet(bus, time.time())
                board, process = await open_board(cluster)
                await _answers(board)
                await _streams(bus, board, process, scheduler, seconds)
                await board.aclose()
        finally:
            await cluster.close()
            await recorder.stop()


async def _prepare(cluster: Cluster, rows: int, failed: int) -> None:
    scheduler = await cluster.scheduler()
    worker = await cluster.worker()
    async with cluster.bus() as bus:
        await bus.dispatch(Report(key="x" * 100), delay=86_400, confirm="stored")
        await bus.dispatch(Hopeless())
        await cluster.failed_records(bus, 1)
    for one in (worker, scheduler):
        one.send(signal.SIGTERM)
        await one.ended()
    fill(cluster.folder / "routeq.db", rows, failed)


async def open_board(cluster: Cluster) -> tuple[httpx.AsyncClient, Process]:
    """Start the dashboard, and log a browser in."""
    process = await Process.cli(
        "dashboard", "dashboard", "--bind", f"127.0.0.1:{free_port()}", env=cluster.env
    )
    cluster.processes.append(process)
    await process.says("dashboard: http")
    link = next(line for line in process.lines if line.startswith("dashboard: ")).split()[1]
    limits = httpx.Limits(max_connections=50)
    board = httpx.AsyncClient(base_url=link.partition("?")[0], limits=limits, timeout=60)
    await board.get(link, follow_redirects=True)
    return board, process


async def _answers(board: httpx.AsyncClient) -> None:
    print(f"{'answer':22} {'first ms':>9} {'median ms':>9} {'kB':>7}")
    places: dict[str, tuple[str, dict[str, str]]] = {
        "page": ("", {}),
        "all numbers": ("api/state", {}),
    }
    places |= {
        name: (f"api/ask/{method}", {"args": json.dumps(args)})
        for name, (method, args) in ASKED.items()
    }
    for name, (place, params) in places.items():
        times = []
        for _ in range(7):
            began = time.perf_counter()
            answer = await board.get(place, params=params)
            times.append(1_000 * (time.perf_counter() - began))
            answer.raise_for_status()
        size = len(answer.content) / 1_000
        print(f"{name:22} {times[0]:9.1f} {median(times[1:]):9.1f} {size:7.1f}")


async def _streams(
    bus: Bus, board: httpx.AsyncClient, process: Process, scheduler: Process, seconds: float
) -> None:
    for tabs in (0, TABS):
        until = time.monotonic() + seconds
        before = rss(process.pid)
        spent = [cpu_seconds(one.pid) for one in (process, scheduler)]
        watching = [watch(board, until) for _ in range(tabs)]
        _, *got = await asyncio.gather(busy(bus, until), *watching)
        share = [
            f"{100 * (cpu_seconds(one.pid) - start) / seconds:.1f} % of a core"
            for one, start in zip((process, scheduler), spent, strict=True)
        ]
        sent = sum(filter(None, got)) / 1e6
        print(
            f"{tabs:2} tabs, {seconds:.0f} s: dashboard {before:.1f} -> {rss(process.pid):.1f} MB, "
            f"{share[0]}, {sent:.2f} MB sent; scheduler {share[1]}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--failed", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    asyncio.run(main(options.rows, options.failed, options.seconds))
