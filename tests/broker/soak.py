"""Clients come and go: `make soak MINUTES=20`; memory, files and latency stay flat."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import statistics
import tempfile
import time
from pathlib import Path

from tests.broker import wire as w
from tests.broker.server import Server, server

_RATE = 100
_ROWS = 20


class Soak:
    """The load: visitors at a rate, publishers of messages and of jobs, and workers."""

    def __init__(self, target: Server) -> None:
        self.target = target
        self.latencies: list[float] = []
        self.visits = self.jobs = 0

    async def visitors(self) -> None:
        """Each subscribes to filters of its own, publishes, leaves; some without a word."""
        numbers = itertools.count()
        began = time.monotonic()
        running: set[asyncio.Task[None]] = set()
        while True:
            number = next(numbers)
            await asyncio.sleep(max(0.0, began + number / _RATE - time.monotonic()))
            if len(running) < 2 * _RATE:
                task = asyncio.create_task(self._visit(number))
                running.add(task)
                task.add_done_callback(running.discard)

    async def _visit(self, number: int) -> None:
        level = 4 + number % 2
        more = ((17, 5 * (number % 3)),) if level == 5 else ()
        with contextlib.suppress(ConnectionError, TimeoutError):
            wire = await w.Wire.login(
                self.target.port, f"visit-{number}", level, more=more, will=(f"will/{number}", b"x")
            )
            await wire.subscribe((f"own/{number}/+", 1), (f"own/{number}", 1))
            await wire.publish(f"topic/{number}", b"x" * 50)
            if number % 2:
                wire.send(w.DISCONNECT)
                await wire.ended()
            wire.close()
            self.visits += 1

    async def worker(self, number: int) -> None:
        wire = await w.Wire.login(self.target.port, f"worker-{number}", clean=False)
        await wire.subscribe(("$share/routeq/$queue/soak", 1))
        while True:
            got = await wire.next(3_600)
            assert got is not None, "a worker was cut off"
            wire.send(w.ack(w.PUBACK, got.mid))
            self.jobs += 1

    async def publisher(self, topic: str) -> None:
        wire = await w.Wire.login(self.target.port, f"publisher-{topic}")
        for number in itertools.count():
            began = time.perf_counter()
            await wire.publish(topic, b"x" * 100, mid=number % 65_535 + 1)
            self.latencies.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)

    async def run(self, seconds: float) -> list[tuple[float, int, float]]:
        """The rows of the table: memory, files, median latency in milliseconds."""
        rows: list[tuple[float, int, float]] = []
        parts = [
            self.visitors(), self.worker(1), self.worker(2), self.publisher("$queue/soak"),
            self.publisher("plain/topic"),
        ]  # fmt: skip
        tasks = [asyncio.create_task(part) for part in parts]
        print(
            "minute  visits/s  jobs/s  memory MB  files  cpu %  latency ms: median  99 %  longest"
        )
        cpu, began = self.target.cpu, time.monotonic()
        for row in range(_ROWS):
            self.latencies.clear()
            visits, jobs, start = self.visits, self.jobs, time.monotonic()
            done, _ = await asyncio.wait(
                tasks, timeout=seconds / _ROWS, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            passed = time.monotonic() - start
            used, cpu = self.target.cpu - cpu, self.target.cpu
            millis = sorted(one * 1_000 for one in self.latencies) or [float("nan")]
            median = statistics.median(millis)
            rows.append((self.target.memory, self.target.files, median))
            print(
                f"{(time.monotonic() - began) / 60:6.1f}{(self.visits - visits) / passed:10.0f}"
                f"{(self.jobs - jobs) / passed:8.0f}{rows[row][0]:11.1f}{rows[row][1]:7d}"
                f"{100 * used / passed:7.0f}{median:20.1f}{millis[int(len(millis) * 0.99)]:6.1f}"
                f"{millis[-1]:9.1f}",
                flush=True,
            )
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return rows


def judge(rows: list[tuple[float, int, float]]) -> None:
    """The last quarter is like the second one."""
    quarter = len(rows) // 4
    early, late = rows[quarter : 2 * quarter], rows[-quarter:]
    for name, at, slack in (("memory", 0, 5.0), ("files", 1, 40.0), ("latency", 2, 5.0)):
        before = statistics.median(row[at] for row in early)
        after = statistics.median(row[at] for row in late)
        assert after < before * 1.1 + slack, f"{name} grew from {before:.1f} to {after:.1f}"
    print("flat: memory, files and latency of the last quarter are those of the second one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--broker", default="embedded", choices=("embedded", "mosquitto"))
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        server(arguments.broker, Path(folder)) as target,
    ):
        judge(asyncio.run(Soak(target).run(arguments.minutes * 60)))


if __name__ == "__main__":
    main()
