"""Dispatches jobs until it is stopped, and writes down each dispatch that returned.

python -m tests.faults.producer --name a --confirm stored --rate 50 --seconds 0.1 --seed 1
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal

from routeq_mqtt import Bus, RouteqError
from tests.faults.jobs import Work
from tests.faults.ledger import Ledger


async def produce(options: argparse.Namespace, ledger: Ledger, stopped: asyncio.Event) -> None:
    """One dispatch after the other; one that fails is tried again under the same key."""
    choose = random.Random(options.seed)  # noqa: S311 - a mixture that repeats
    async with Bus() as bus:
        ledger.note("producing", name=options.name)
        number = 0
        while not stopped.is_set() and number != options.count:
            key = f"{options.name}-{number}"
            await _dispatch(bus, options, ledger, key, choose)
            number += 1
            if options.rate:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), 1 / options.rate)


async def _dispatch(
    bus: Bus, options: argparse.Namespace, ledger: Ledger, key: str, choose: random.Random
) -> None:
    job = Work(
        key=key,
        seconds=round(choose.uniform(0, options.seconds), 3),
        fails=int(choose.random() < options.failing),
    )
    delay = choose.uniform(0.1, 2.0) if choose.random() < options.delayed else None
    while True:
        before = bus.sender.link.connection
        ledger.note("sending", key=key, confirm=options.confirm)
        try:
            sent = await bus.dispatch(
                job, queue=options.queue, confirm=options.confirm, delay=delay
            )
        except RouteqError as error:
            # Nothing was promised. It may run all the same, and then once more.
            ledger.note("refused", key=key, error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.1)
            continue
        cut = bus.sender.link.connection is not before or before is None
        ledger.note(
            "sent", key=key, id=sent.id, confirm=options.confirm, delayed=delay is not None, cut=cut
        )
        return


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--queue", default="default")
    parser.add_argument("--confirm", default="broker", choices=["broker", "stored"])
    parser.add_argument("--rate", type=float, default=0.0, help="per second; 0: as fast as it goes")
    parser.add_argument("--count", type=int, default=-1)
    parser.add_argument("--seconds", type=float, default=0.0, help="that a job takes at most")
    parser.add_argument("--delayed", type=float, default=0.0, help="share of delayed jobs")
    parser.add_argument("--failing", type=float, default=0.0, help="share that fails once")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ledger = Ledger.here()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await produce(options, ledger, stopped)
    ledger.note("produced", name=options.name)


if __name__ == "__main__":
    asyncio.run(main())
