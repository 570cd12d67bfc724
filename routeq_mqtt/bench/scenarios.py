"""One function for each workload: plays one run and returns its figures."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.bench.jobs import BenchNoop, BenchTimed
from routeq_mqtt.bench.results import percentile
from routeq_mqtt.bench.workload import TEXT
from routeq_mqtt.jobs.codec import to_envelope
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from routeq_mqtt.bench.stage import Stage
    from routeq_mqtt.settings.settings import Settings
    from routeq_mqtt.transport.address import Protocol
    from routeq_mqtt.transport.base import Connection

Figures = dict[tuple[str, str], float]
"""Scenario and unit -> figure."""


RATE = "jobs/s"


def noops(number: int) -> Iterator[BenchNoop]:
    """`number` no-op jobs."""
    return (BenchNoop(text=TEXT) for _ in range(number))


def packed(queue: str, jobs: Iterable[BenchNoop]) -> list[bytes]:
    """Jobs as they travel."""
    return [to_envelope(job, now=time.time(), queue=queue).encode() for job in jobs]


async def connect(settings: Settings, protocol: Protocol = "auto") -> Connection:
    """A bare connection, without anything of the bus."""
    address = replace(settings.address(), protocol=protocol)
    return await AioTransport(address).connect(
        ConnectOptions(f"bench-{new_id()[-10:]}"), lambda message: None
    )


async def publish(connection: Connection, topic: str, payloads: list[bytes]) -> None:
    """Publish and wait for every PUBACK, as fast as the bare transport can."""
    reasons = await connection.publish_many([(topic, payload) for payload in payloads])
    if any(reasons):
        raise RuntimeError(f"the broker did not take every message to {topic!r}")


async def one_by_one(stage: Stage) -> Figures:
    """`dispatch`, the next one when the last one is held."""
    number = stage.load.one_by_one
    async with stage.busy_workers():
        began = time.monotonic()
        for job in noops(number):
            await stage.bus.dispatch(job, queue=stage.queue)
        return {("dispatch one by one", RATE): number / (time.monotonic() - began)}


async def concurrent(stage: Stage) -> Figures:
    """`dispatch` from many tasks at once."""
    number, callers = stage.load.concurrent, stage.load.callers

    async def caller() -> None:
        for job in noops(number // callers):
            await stage.bus.dispatch(job, queue=stage.queue)

    async with stage.busy_workers():
        began = time.monotonic()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return {(f"{callers} concurrent dispatch", RATE): number / (time.monotonic() - began)}


async def bulk(stage: Stage) -> Figures:
    """`bulk`, and the bare transport beside it: the same messages to the same topic."""
    number = stage.load.bulk
    payloads = packed(stage.queue, noops(number))
    around = stage.bus.sender.surroundings
    topic = stage.settings.topics().delivery(stage.queue)
    if around.shares_queue or around.deals:
        topic = around.intake(stage.queue)
    async with stage.busy_workers():
        connection = await connect(stage.settings)
        began = time.monotonic()
        await publish(connection, topic, payloads)
        bare = number / (time.monotonic() - began)
        await connection.close()
        began = time.monotonic()
        await stage.bus.bulk(noops(number), stage.queue)
        rate = number / (time.monotonic() - began)
    return {
        ("bulk", RATE): rate,
        ("bare publish", RATE): bare,
        ("bulk of bare publish", "%"): 100 * rate / bare,
    }


async def durable(stage: Stage) -> Figures:
    """`bulk` with confirm="stored", then what was stored is drained by a new worker."""
    number = stage.load.bulk
    began = time.monotonic()
    await stage.bus.bulk(noops(number), stage.queue, confirm="stored", timeout=60)
    stored = number / (time.monotonic() - began)
    await stage.worker()
    await stage.counter.ran(number)
    return {("durable bulk", RATE): stored, ("drain, parked", RATE): _rate(stage)}


async def parked(stage: Stage) -> Figures:
    """`bulk` while no worker runs, then a worker comes."""
    number = stage.load.backlog
    began = time.monotonic()
    await stage.bus.bulk(noops(number), stage.queue, timeout=60)
    sent = number / (time.monotonic() - began)
    async with asyncio.timeout(60):
        while (await stage.bus.size(stage.queue)).parked < number:
            await asyncio.sleep(0.1)
    await stage.worker()
    await stage.counter.ran(number)
    return {("bulk without a worker", RATE): sent, ("drain, parked", RATE): _rate(stage)}


def _rate(stage: Stage) -> float:
    """From the first job to the last."""
    return (stage.counter.count - 1) / (stage.counter.last - stage.counter.first)


async def drain(stage: Stage) -> Figures:
    """A backlog that waits in the broker, by one worker process."""
    return {("drain, 1 process", RATE): await _drain(stage, 1)}


async def drain_two(stage: Stage) -> Figures:
    """The same by two."""
    return {("drain, 2 processes", RATE): await _drain(stage, 2)}


async def _drain(stage: Stage, processes: int) -> float:
    number = stage.load.backlog
    async with stage.busy_workers(processes):
        await stage.bus.bulk(noops(number), stage.queue)
        began = time.monotonic()
        stage.counter.open()
        await stage.counter.ran(number)
    return number / (stage.counter.last - began)


async def through_scheduler(stage: Stage) -> Figures:
    """From an MQTT 3.1.1 producer on ``$queue/<name>`` to the worker."""
    number = stage.load.at_once
    await stage.worker()
    payloads = packed(stage.queue, noops(number))
    connection = await connect(stage.settings, "3.1.1")
    began = time.monotonic()
    await publish(connection, stage.bus.sender.surroundings.intake(stage.queue), payloads)
    await stage.counter.ran(number)
    await connection.close()
    return {("through $queue from 3.1.1", RATE): number / (stage.counter.last - began)}


async def both(stage: Stage) -> Figures:
    """`bulk` while a worker works on it; until the last job ran."""
    number = stage.load.at_once
    await stage.worker()
    began = time.monotonic()
    await stage.bus.bulk(noops(number), stage.queue)
    await stage.counter.ran(number)
    return {("both at once", RATE): number / (stage.counter.last - began)}


async def latency(stage: Stage) -> Figures:
    """On an idle system: from the call of `dispatch` to the start of `handle`."""
    rate, number = stage.load.latency_rate, 0
    await stage.worker()
    began = time.monotonic()
    while (now := time.monotonic()) < began + stage.load.latency_seconds:
        number += 1
        await stage.bus.dispatch(BenchTimed(text=TEXT, due=now), queue=stage.queue)
        await asyncio.sleep(began + number / rate - time.monotonic())
    await stage.counter.ran(number)
    delays = [1_000 * delay for delay in stage.counter.delays]
    return {
        ("latency p50", "ms"): percentile(delays, 50),
        ("latency p99", "ms"): percentile(delays, 99),
    }


async def delayed(stage: Stage) -> Figures:
    """How late delayed jobs start while many more wait on disk."""
    load = stage.load
    await stage.worker()
    connection = await connect(stage.settings)
    topic = stage.settings.topics().schedule
    later = time.time() + 86_400
    waiting = [
        to_envelope(job, now=0.0, queue=stage.queue, run_at=later).encode()
        for job in noops(load.waiting)
    ]
    await publish(connection, topic, waiting)
    async with asyncio.timeout(120):
        while (await stage.bus.size(stage.queue)).delayed < load.waiting:
            await asyncio.sleep(0.2)
    start = time.time() + 2.0
    due = [start + 10 * number / load.due for number in range(load.due)]
    jobs = [
        to_envelope(
            BenchTimed(text=TEXT, due=at, wall=True), now=0.0, queue=stage.queue, run_at=at
        ).encode()
        for at in due
    ]
    await publish(connection, topic, jobs)
    await stage.counter.ran(load.due)
    await connection.close()
    delays = [1_000 * delay for delay in stage.counter.delays]
    with_waiting = f"{load.waiting:,} waiting"
    return {
        (f"delayed p50 late, {with_waiting}", "ms"): percentile(delays, 50),
        (f"delayed p99 late, {with_waiting}", "ms"): percentile(delays, 99),
    }


SCENARIOS = {
    "dispatch": one_by_one,
    "concurrent": concurrent,
    "bulk": bulk,
    "durable": durable,
    "parked": parked,
    "drain": drain,
    "drain2": drain_two,
    "through": through_scheduler,
    "both": both,
    "latency": latency,
    "delayed": delayed,
}

NEED_SCHEDULER = frozenset({"durable", "parked", "through", "delayed"})
"""Scenarios that need a scheduler on the bus; on the embedded broker `through` does not."""
