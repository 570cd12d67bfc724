"""What statistics cost the plain path: CPU time with and without them, in alternation.

``python -m benchmarks.counting --jobs 4000 --pairs 20``. Broker, scheduler and worker are real
processes. One worker runs block after block of jobs, and its statistics are switched off for every
second block, in changing order: so a machine that becomes slower changes both. On a busy machine
blocks still differ by more than what is measured, so the calls themselves are measured, too, in
this process: the least of many rounds, less the least of rounds with calls that do nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks.cpu import bench_under, cpu
from benchmarks.switched import Switch
from routeq_mqtt.bench.scenarios import noops
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import Message
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.worker.delivery import Delivery
from routeq_mqtt.worker.report.stats import RunStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.cpu import Bench
    from routeq_mqtt.bench.stage import Stage

PARTS = ("worker", "worker, broker, scheduler and client")
Used = tuple[float, float]
"""CPU microseconds for each job, of these."""


async def block(bench: Bench, stage: Stage, ran: int, *, on: bool) -> Used:
    """Run a block of jobs on the worker that is there, which has run `ran` jobs so far."""
    switched = await stage.bus.dispatch(Switch(on=on), queue=stage.queue, result_ttl=60)
    await switched.wait(timeout=60)
    pids = [stage.processes[0].pid, *bench.shared.values()]
    before = [sum(cpu(pid).values()) for pid in pids]
    await stage.bus.bulk(noops(bench.jobs), stage.queue, timeout=60)
    await stage.counter.ran(ran + bench.jobs)
    used = [sum(cpu(pid).values()) - was for pid, was in zip(pids, before, strict=True)]
    return used[0] / 1_000 / bench.jobs, sum(used) / 1_000 / bench.jobs


async def pairs(jobs: int, number: int) -> list[tuple[Used, Used]]:
    """Run pairs of blocks, with and without; the first one warms up and is left out."""
    found: list[tuple[Used, Used]] = []
    with tempfile.TemporaryDirectory() as folder:
        async with bench_under(Path(folder), jobs) as bench, bench.stage() as stage:
            await stage.worker("--app", "benchmarks.switched")
            for turn in range(number + 1):
                ran, first = 2 * turn * jobs, bool(turn % 2)
                one = await block(bench, stage, ran, on=first)
                other = await block(bench, stage, ran + jobs, on=not first)
                found.append((one, other) if first else (other, one))
    return found[1:]


def calls(rounds: int = 100, jobs: int = 2_000) -> float:
    """CPU microseconds of what statistics do for one job, in this process.

    The least of all rounds: what disturbs a round only adds to it.
    """

    def spent(begins: Callable[[Any], None], done: Callable[[Any, Any], None]) -> float:
        began = time.process_time_ns()
        for held in deliveries:
            begins(held)
            done(held, held.envelope)
        return (time.process_time_ns() - began) / 1_000 / jobs

    async def measure() -> float:
        stats = RunStats("bench", sender, SystemClock(), pool)
        found = [
            (
                spent(stats.begins, stats.done),
                spent(lambda held: None, lambda held, envelope: None),
            )
            for _ in range(rounds)
        ]
        return min(counted for counted, _ in found) - min(plain for _, plain in found)

    link: Any = SimpleNamespace(connection=None)
    sender: Any = SimpleNamespace(topics=Topics(), link=link)
    pool: Any = SimpleNamespace(running=[])
    payload = Envelope(id="1", job="Noop", queue="bench", dispatched_at=time.time()).encode()
    message = Message("bench", payload)
    source: Any = None
    deliveries = [
        Delivery(source, "bench", source, message, Envelope.decode(payload), None, "1")
        for _ in range(jobs)
    ]
    return asyncio.run(measure())


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counting", description=__doc__)
    parser.add_argument("--jobs", type=int, default=4_000, help="of a block")
    parser.add_argument("--pairs", type=int, default=20)
    told = parser.parse_args()
    found = asyncio.run(pairs(told.jobs, told.pairs))
    print(f"{told.pairs} pairs of {told.jobs:,} jobs, CPU microseconds for each job, medians")
    print(f"{'':46} {'with':>8} {'without':>8} {'costs':>8} {'of it':>8}")
    for how, name in ((median, "median"), (min, "least")):
        for part, of in enumerate(PARTS):
            counted = how([one[part] for one, _ in found])
            plain = how([other[part] for _, other in found])
            costs = counted - plain
            row = f"{of} ({name})"
            print(f"{row:46} {counted:8.2f} {plain:8.2f} {costs:8.2f} {costs / plain:8.1%}")
    counting, name = calls(), "the calls, of the least of all"
    print(f"{name:46} {'':8} {plain:8.2f} {counting:8.2f} {counting / plain:8.1%}")


if __name__ == "__main__":
    main()
