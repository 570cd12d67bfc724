"""How long a bus is without a leader: `python -m benchmarks.takeover --kills 50`.

The leading scheduler is killed with kill -9 again and again, under a load of durable dispatches,
while a standby waits for its database; a new standby is started each time. Measured is the longest
gap between two durable dispatches that were acknowledged, around each kill. Afterwards each
job that was acknowledged must have run. The first argument names a broker: mosquitto, embedded.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.machine import machine
from tests.cluster.cluster import KINDS, Cluster, Kind
from tests.cluster.recorder import Recorder
from tests.faults.gaps import gaps
from tests.faults.site import Site

if TYPE_CHECKING:
    from tests.faults.verdict import Verdict

PRODUCERS = 4
"""Each sends one durable dispatch after the other: at a kill all of them wait for an answer."""

BETWEEN = 100
"""Acknowledged dispatches before the next kill, at least."""


async def run(kind: Kind, kills: int, seed: int) -> tuple[list[float], Verdict]:
    """Kill `kills` leaders; the gap of each kill in seconds, and what the ledger says."""
    recorder = Recorder()
    choose = random.Random(seed)  # noqa: S311 - moments that repeat
    await recorder.start()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(kind, Path(folder), recorder)
        site = Site(cluster)
        try:
            await cluster.start_broker()
            await site.start_scheduler("--standby")
            await site.start_worker("--concurrency", "10")
            for number in range(PRODUCERS):
                await site.start_producer(f"p{number}", "--confirm", "stored")
            for _ in range(kills):
                await _kill_one(site, choose)
            await site.end_producers()
            verdict = await site.settled()
            return [gap.seconds for gap in gaps(site.ledger.lines())], verdict
        finally:
            await cluster.close()
            await recorder.stop()
            site.ledger.close()


async def _kill_one(site: Site, choose: random.Random) -> None:
    standby = await site.cluster.standby()
    await site.until("sent", site.count("sent") + BETWEEN)
    await asyncio.sleep(choose.uniform(0.0, 0.3))
    await site.kill_scheduler()
    site.scheduler = standby
    await standby.says(" online")
    await site.until("sent", site.count("sent") + BETWEEN)


def main() -> None:
    """Print a line for each broker."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.takeover", description=__doc__)
    parser.add_argument("broker", nargs="?", choices=KINDS)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    print(f"{machine()}\n")
    for kind in [told.broker] if told.broker else KINDS:
        found, verdict = asyncio.run(run(kind, told.kills, told.seed))
        verdict.assert_sound()
        print(
            f"{kind:10} {told.kills} kills, {len(verdict.sent)} jobs, lost {len(verdict.lost)}, "
            f"run twice {len(verdict.doubled)} {dict(verdict.causes)}; longest gap between "
            f"acknowledged durable dispatches: median {median(found):.2f} s, "
            f"max {max(found):.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
