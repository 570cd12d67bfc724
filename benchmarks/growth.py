"""What an event costs as the number of unrelated objects grows: the cost must stay flat.

``python -m benchmarks.growth``: microseconds of CPU (all threads) per event, the minimum of several
runs, in this process and without a broker. A row per kind of object, a column per number of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from routeq_mqtt.clock import SystemClock
from routeq_mqtt.jobs.schedule import Schedule
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.presence.fleet import Fleet
from routeq_mqtt.presence.status import WorkerStatus, encode
from routeq_mqtt.scheduler.intake.schedule_table import ScheduleTable
from routeq_mqtt.scheduler.intake.schedules import Schedules
from routeq_mqtt.scheduler.release.feeder import Feeder
from routeq_mqtt.scheduler.release.publisher import Publisher
from routeq_mqtt.scheduler.store.rows import NewFailed, NewRow
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import Message
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.worker.consume.pool import Pool
from routeq_mqtt.worker.delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Measured = AsyncIterator[Callable[[], Awaitable[int]]]

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.intake.intake import Intake

NUMBERS = (1, 10, 100, 1_000, 10_000, 100_000)
_RUNS = 5


async def _least(events: Callable[[], Awaitable[int]]) -> float:
    """Microseconds per event; a call of `events` returns how many it made."""
    best = float("inf")
    for _ in range(_RUNS):
        began = time.process_time()
        number = await events()
        best = min(best, (time.process_time() - began) * 1e6 / number)
    return best


@contextlib.asynccontextmanager
async def _store() -> AsyncIterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(Path(folder) / "scheduler.db")
        try:
            yield store
        finally:
            await store.close()


def _row(job_id: str, queue: str) -> NewRow:
    return NewRow(
        id=job_id,
        queue=queue,
        attempt=1,
        deliveries=1,
        state="parked",
        run_at=1.0,
        durable=False,
        expires_at=None,
        envelope=Envelope(job="Noop", id=job_id, queue=queue, data={"text": "x" * 200}).encode(),
    )


def _workers(number: int) -> Fleet:
    fleet = Fleet(Topics())
    for one in range(number):
        status = WorkerStatus(
            id=f"w{one}", state="online", queues=[f"q{one}"], sessions=[f"w{one}/q"], concurrency=10
        )
        fleet.fold(f"routeq/workers/w{one}", encode(status), now=0.0)
    return fleet


@contextlib.asynccontextmanager
async def queues_of_a_worker(number: int) -> Measured:
    """Start a job from the last queue of a worker that serves `number` queues."""

    async def run(held: Delivery) -> None: ...

    names = [f"q{one}" for one in range(number)]
    pool = Pool(names, 10, run)
    jobs = 1_000

    async def events() -> int:
        for _ in range(jobs):
            message = Message(f"queue/{names[-1]}", b"")
            nowhere = cast("Any", None)
            pool.add(Delivery(nowhere, names[-1], nowhere, message, None, None, "id"))
        while not pool.empty:
            await asyncio.sleep(0)
        return jobs

    yield events
    await pool.finish(1.0)


@contextlib.asynccontextmanager
async def workers_of_other_queues(number: int) -> Measured:
    """Ask how many rows a queue's workers may hold, among `number` workers of other queues."""
    context = SimpleNamespace(
        fleet=_workers(number), surroundings=SimpleNamespace(shares_queue=False)
    )
    publisher = Publisher(cast("Context", context))

    async def events() -> int:
        for _ in range(200):
            publisher.room("q0")
        return 200

    yield events


@contextlib.asynccontextmanager
async def schedules(number: int) -> Measured:
    """Run one pass of the ticker over `number` schedules, none of which is due."""
    async with _store() as store:
        table = ScheduleTable(store.database)
        envelope = Envelope(job="Noop", queue="q").encode()
        many = [(Schedule(name=f"s{one}", every=86_400), envelope) for one in range(number)]
        await table.announce(many, time.time())
        context = SimpleNamespace(clock=SystemClock(), store=store)
        ticker = Schedules(cast("Context", context), table, cast("Intake", None))

        async def events() -> int:
            for _ in range(5):
                await ticker.tick()
            return 5

        yield events


@contextlib.asynccontextmanager
async def queues_with_parked_rows(number: int) -> Measured:
    """Count the parked rows after a commit, with `number` queues that have one."""
    async with _store() as store:
        await store.take([_row(f"id{one}", f"q{one}") for one in range(number)])
        context = SimpleNamespace(clock=SystemClock(), store=store, limited=False)
        publisher = Publisher(cast("Context", context))

        async def events() -> int:
            for _ in range(20):
                await publisher.count()
            return 20

        yield events


@contextlib.asynccontextmanager
async def queues_without_workers(number: int) -> Measured:
    """Commit 40 times, 5 ms apart; `number` queues have a parked row and no worker."""
    async with _store() as store:
        await store.take([_row(f"id{one}", f"q{one}") for one in range(number)])
        parked = Notifier()
        context = SimpleNamespace(
            clock=SystemClock(), store=store, parked=parked, has_home=lambda queue: False
        )
        feeder = asyncio.create_task(Feeder(cast("Context", context), cast("Any", None)).run())

        async def events() -> int:
            for _ in range(40):
                parked.notify()
                await asyncio.sleep(0.005)
            return 40

        yield events
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)


@contextlib.asynccontextmanager
async def parked_rows(number: int) -> Measured:
    """Take a row in, find, release and finish it, with `number` parked rows in its queue."""
    async with _store() as store:
        for first in range(0, number, 10_000):
            upto = min(number, first + 10_000)
            await store.take([_row(f"id{one:08}", "q") for one in range(first, upto)])
        done = 0

        async def events() -> int:
            nonlocal done
            for _ in range(20):
                await store.take([_row(f"new{done:08}", "q")])
                [row] = await store.release(await store.parked("q", 1))
                await store.done([(row.id, row.attempt, True)], 1.0)
                done += 1
            return 20

        yield events


@contextlib.asynccontextmanager
async def failed_records(number: int) -> Measured:
    """Store a failed record beside `number` others."""
    async with _store() as store:
        failed = 0

        async def fail(upto: int) -> None:
            nonlocal failed
            records = []
            while failed < upto:
                failed += 1
                records.append(
                    NewFailed(
                        id=f"f{failed:08}",
                        queue="q",
                        job="Noop",
                        reason="exception",
                        error="no",
                        worker=None,
                        failed_at=1.0,
                        record=b"x" * 300,
                    )
                )
            await store.fail(records, 1.0)

        await fail(number)

        async def events() -> int:
            for _ in range(20):
                await fail(failed + 1)
            return 20

        yield events


THINGS: dict[str, tuple[Callable[[int], contextlib.AbstractAsyncContextManager[Any]], int]] = {
    "queues of a worker: a job starts": (queues_of_a_worker, 1_000),
    "workers of other queues: room of a queue": (workers_of_other_queues, 1_000),
    "schedules: a pass of the ticker": (schedules, 10_000),
    "queues with parked rows: a commit's count": (queues_with_parked_rows, 1_000),
    "queues without workers: feeding at a commit": (queues_without_workers, 100_000),
    "parked rows: one more, up to done": (parked_rows, 100_000),
    "failed records: one more": (failed_records, 10_000),
}


async def measure(most: int) -> None:
    """Print the table."""
    print(f"{'us of CPU per event, beside N others':44}", *(f"{number:>9,}" for number in NUMBERS))
    for name, (thing, largest) in THINGS.items():
        cells = []
        for number in NUMBERS:
            if number > min(most, largest):
                cells.append(f"{'':>9}")
                continue
            async with thing(number) as events:
                cells.append(f"{await _least(events):9,.1f}")
        print(f"{name:44}", *cells, flush=True)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--most", type=int, default=NUMBERS[-1], help="largest number to measure")
    began = time.monotonic()
    asyncio.run(measure(parser.parse_args().most))
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
