"""The time from kill -9 of a worker until its job starts again: `python -m benchmarks.recovery`.

Workers are killed one by one in the middle of long jobs, while another worker has free slots and
nothing else is wrong. ``--kills``: how many on each broker; the first names one: mosquitto,
embedded.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from benchmarks.machine import machine
from tests.cluster.cluster import KINDS, Cluster, Kind
from tests.cluster.recorder import Recorder
from tests.faults.jobs import Work
from tests.faults.site import Site
from tests.faults.verdict import Verdict, shown

SLOTS = 5
LONG = 2.5
"""Duration of a job in seconds: long enough that its worker dies in the middle."""


async def run(kind: Kind, kills: int) -> Verdict:
    """Kill `kills` workers, one by one; return the ledger's figures."""
    recorder = Recorder()
    await recorder.start()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(kind, Path(folder), recorder)
        site = Site(cluster)
        try:
            await cluster.start_broker()
            await site.start_scheduler()
            for number in range(kills):
                await _kill_one(site, number)
            return await site.settled()
        finally:
            await cluster.close()
            await recorder.stop()
            site.ledger.close()


async def _kill_one(site: Site, number: int) -> None:
    """Kill the worker that has all jobs while another one is idle."""
    victim = await site.start_worker("--concurrency", str(SLOTS))
    started = site.count("start")
    async with site.cluster.bus() as bus:
        for job in range(SLOTS):
            key = f"{number}-{job}"
            site.ledger.note("sending", key=key, confirm="broker")
            job_id = await bus.dispatch(Work(key=key, seconds=LONG))
            site.ledger.note("sent", key=key, id=str(job_id), confirm="broker", cut=False)
        await site.until("start", started + SLOTS)
        heir = await site.start_worker("--concurrency", str(SLOTS))
        await site.kill_worker(victim)
        await site.until("end", (number + 1) * SLOTS)
    await site.stop_worker(heir)


def main() -> None:
    """Print a line for each broker."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("broker", nargs="?", choices=KINDS)
    parser.add_argument("--kills", type=int, default=20)
    told = parser.parse_args()
    print(f"{machine()}\n")
    for kind in [told.broker] if told.broker else KINDS:
        verdict = asyncio.run(run(kind, told.kills))
        verdict.assert_sound()
        print(f"{kind:10} {told.kills} kills, {shown(verdict.recovery)}", flush=True)


if __name__ == "__main__":
    main()
