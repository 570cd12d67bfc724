"""How workers share jobs: `python -m benchmarks.sharing [BROKER] [mixed] [stuck] [--runs N]`.

``mixed``: 200 jobs of 10 ms to 5 s (log-uniform, the same for every run of a seed), all dispatched
at once, on 4 workers of 2 slots. Against the ideal list schedule: the next job in order to the
first free slot. ``stuck``: 2 workers of 1 slot, one of them held by a job that does not end, then
100 jobs of 20 ms. Both say how long a slot was free at most while a job waited anywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import heapq
import random
import tempfile
import time
from math import exp, log
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from routeq_mqtt import Job
from tests.cluster.cluster import KINDS, Cluster, Kind
from tests.cluster.jobs import tell, wait_at
from tests.cluster.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

JOBS, WORKERS, SLOTS = 200, 4, 2
SHORTEST, LONGEST = 0.01, 5.0


class Lasts(Job):
    key: str
    seconds: float

    async def handle(self) -> None:
        began = time.monotonic()
        await asyncio.sleep(self.seconds)
        await tell("ran", self, key=self.key, began=began, ended=time.monotonic())


class Sticks(Job):
    async def handle(self) -> None:
        await wait_at("stuck", self)


def lengths(seed: int) -> list[float]:
    chance = random.Random(seed)  # noqa: S311 - the same every time
    return [exp(chance.uniform(log(SHORTEST), log(LONGEST))) for _ in range(JOBS)]


def ideal(seconds: list[float]) -> float:
    """The time at which the last job ends if each goes to the first free slot."""
    slots = [0.0] * (WORKERS * SLOTS)
    for one in seconds:
        heapq.heappush(slots, heapq.heappop(slots) + one)
    return max(slots)


def longest_free(runs: Iterable[tuple[float, float]], slots: int, since: float) -> float:
    """The longest time for which a slot was free while a job waited.

    Args:
        runs: start and end of each job.
        slots: how many jobs can run at once.
        since: when all of them had been dispatched.
    """
    steps = sorted([(began, 1) for began, _ in runs] + [(ended, -1) for _, ended in runs])
    last = max(began for began, _ in runs)
    longest, running, free_since = 0.0, 0, since
    for at, step in steps:
        if at > last:
            break
        if running < slots:
            longest = max(longest, at - max(free_since, since))
        running += step
        if running == slots - 1 and step < 0:
            free_since = at
    return longest


@contextlib.asynccontextmanager
async def workers(kind: Kind, number: int, slots: int) -> AsyncIterator[Cluster]:
    """A broker, a scheduler and workers; all stop at the end."""
    recorder = Recorder()
    await recorder.start()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(kind, Path(folder), recorder)
        try:
            await cluster.start_broker()
            await cluster.scheduler()
            for _ in range(number):
                flags = ("--app", "benchmarks.sharing", "--concurrency", str(slots))
                await cluster.worker("default", *flags)
            yield cluster
        finally:
            await cluster.close()
            await recorder.stop()


async def until_all_ran(cluster: Cluster, number: int) -> list[tuple[float, float]]:
    """Wait for all jobs; return the start and end of each."""
    async with asyncio.timeout(120):
        while len(cluster.recorder.ran()) < number:
            await asyncio.sleep(0.005)
    if set(cluster.recorder.ran().values()) != {1}:
        raise RuntimeError("a job ran twice")
    return [(event["began"], event["ended"]) for event in cluster.recorder.named("ran")]


async def mixed(kind: Kind, seed: int) -> dict[str, float]:
    """Makespan divided by the ideal one."""
    seconds = lengths(seed)
    async with workers(kind, WORKERS, SLOTS) as cluster, cluster.bus() as bus:
        began = time.monotonic()
        await bus.bulk([Lasts(key=str(n), seconds=one) for n, one in enumerate(seconds)])
        sent = time.monotonic()
        runs = await until_all_ran(cluster, JOBS)
    took, best = max(ended for _, ended in runs) - began, ideal(seconds)
    free = longest_free(runs, WORKERS * SLOTS, sent)
    return {
        "took, s": took,
        "over ideal, %": 100 * (took / best - 1),
        "slot free, ms": 1_000 * free,
    }


async def stuck(kind: Kind, seed: int) -> dict[str, float]:
    """Block one of two workers: the other one gets everything."""
    async with workers(kind, 2, 1) as cluster, cluster.bus() as bus:
        await bus.dispatch(Sticks())
        await cluster.recorder.count("waits", 1)
        await bus.bulk([Lasts(key=str(number), seconds=0.02) for number in range(100)])
        sent = time.monotonic()
        runs = await until_all_ran(cluster, 100)
        cluster.recorder.open("stuck")
    took = max(ended for _, ended in runs) - sent
    return {"took, s": took, "slot free, ms": 1_000 * longest_free(runs, 1, sent)}


SCENARIOS = {"mixed": mixed, "stuck": stuck}


def main() -> None:
    """Print a line per figure: each run, then the median."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharing", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", default=[])
    parser.add_argument("--runs", type=int, default=5)
    told = parser.parse_args()
    for kind in [one for one in KINDS if one in told.names] or KINDS:
        for name in [one for one in SCENARIOS if one in told.names] or SCENARIOS:
            rows = [asyncio.run(SCENARIOS[name](kind, seed)) for seed in range(told.runs)]
            for figure in rows[0]:
                values = [row[figure] for row in rows]
                each = " ".join(f"{value:.1f}" for value in values)
                print(f"{kind:10} {name} {figure}: {each}  median {median(values):.1f}", flush=True)


if __name__ == "__main__":
    main()
