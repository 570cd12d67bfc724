"""python -m tests.gate --messages 3000 --seed 7: so many mutated messages to every topic.

--broker embedded: only one of the two brokers. Ends with a traceback of its own where a process
ended, a command failed, or the last job did not run.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.cluster.cluster import KINDS, Cluster, Kind
from tests.cluster.recorder import Recorder
from tests.gate.attack import Attack


async def attack(kind: Kind, messages: int, seed: int) -> None:
    """One broker, from nothing."""
    recorder = Recorder()
    await recorder.start()
    with tempfile.TemporaryDirectory(prefix="routeq-gate-") as folder:
        cluster = Cluster(kind, Path(folder), recorder)
        began = time.monotonic()
        try:
            await cluster.start_broker()
            run = Attack(cluster, messages, seed)
            await run.run()
        finally:
            await cluster.close()
            await recorder.stop()
    number, topics, took = run.sent.total(), len(run.sent), time.monotonic() - began
    print(f"{kind}: seed {seed}: {number} messages to {topics} topics in {took:.0f} s: all stands")


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.gate")
    parser.add_argument("--messages", type=int, default=3_000, help="to each topic")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--broker", choices=KINDS, action="append")
    flags = parser.parse_args()
    for kind in flags.broker or KINDS:
        asyncio.run(attack(kind, flags.messages, flags.seed))


main()
