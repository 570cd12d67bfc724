"""python -m tests.ledger --jobs 100000: the statistics against what really happened.

Ends with 1 where they differ by more than killed workers may take along.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.cluster.recorder import Recorder
from tests.ledger.run import Ledger


async def main(jobs: int) -> bool:
    """Run and print it; whether all agrees."""
    recorder = Recorder()
    await recorder.start()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster("embedded", Path(folder), recorder)
        try:
            await cluster.start_broker()
            began = time.monotonic()
            async with cluster.bus() as bus:
                verdict = await Ledger(cluster, jobs).run(bus)
        finally:
            await cluster.close()
            await recorder.stop()
    print(f"{jobs:,} jobs in {time.monotonic() - began:.0f} s", *verdict.text(), sep="\n")
    return not verdict.problems


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    sys.exit(not asyncio.run(main(parser.parse_args().jobs)))
