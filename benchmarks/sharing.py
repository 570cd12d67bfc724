"""How fairly four workers share jobs of mixed length: `python -m benchmarks.sharing [BROKER]`.

200 jobs of 10 ms to 5 s (log-uniform, the same for every run of a seed), all dispatched at once, on
4 workers of 2 slots. Against the ideal list schedule: the next job in order to the first free slot.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import sys
import tempfile
import time
from math import exp, log
from pathlib import Path

from routeq_mqtt import Job
from tests.bed.bed import KINDS, Bed, Kind
from tests.bed.jobs import tell
from tests.bed.recorder import Recorder

JOBS, WORKERS, SLOTS = 200, 4, 2
SHORTEST, LONGEST = 0.01, 5.0


class Lasts(Job):
    key: str
    seconds: float

    async def handle(self) -> None:
        await asyncio.sleep(self.seconds)
        await tell("ran", self, key=self.key)


def lengths(seed: int) -> list[float]:
    chance = random.Random(seed)  # noqa: S311 - the same every time
    return [exp(chance.uniform(log(SHORTEST), log(LONGEST))) for _ in range(JOBS)]


def ideal(seconds: list[float]) -> float:
    """When the last job ends if each goes to the slot that is free first."""
    slots = [0.0] * (WORKERS * SLOTS)
    for one in seconds:
        heapq.heappush(slots, heapq.heappop(slots) + one)
    return max(slots)


async def run(kind: Kind, seed: int) -> tuple[float, float]:
    """Seconds from the dispatch to the end of the last job, and the ideal."""
    seconds = lengths(seed)
    recorder = Recorder()
    await recorder.start()
    with tempfile.TemporaryDirectory() as folder:
        bed = Bed(kind, Path(folder), recorder)
        try:
            await bed.start_broker()
            await bed.scheduler()
            flags = ("--app", "benchmarks.sharing", "--concurrency", str(SLOTS))
            for _ in range(WORKERS):
                await bed.worker("default", *flags)
            async with bed.bus() as bus:
                began = time.monotonic()
                await bus.bulk([Lasts(key=str(n), seconds=one) for n, one in enumerate(seconds)])
                async with asyncio.timeout(120):
                    while len(recorder.ran()) < JOBS:
                        await asyncio.sleep(0.005)
                took = time.monotonic() - began
            if set(recorder.ran().values()) != {1}:
                raise RuntimeError("a job ran twice")
        finally:
            await bed.close()
            await recorder.stop()
    return took, ideal(seconds)


def main() -> None:
    """Print a line for each run."""
    for kind in [one for one in KINDS if one in sys.argv[1:]] or KINDS:
        for seed in range(3):
            took, best = asyncio.run(run(kind, seed))
            print(
                f"{kind:10} seed={seed} took={took:.2f} s ideal={best:.2f} s +{took / best - 1:.1%}"
            )


if __name__ == "__main__":
    main()
