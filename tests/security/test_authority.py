"""Who knows the id of a job can do nothing to it: attacks by messages, on both brokers.

Each attack says that it is the victim: its id, later attempts, a row of the scheduler's.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from routeq_mqtt import chain
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import Connection, ConnectOptions
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.packing import pack
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Comeback, Gated, Report

WAYS = ("routeq/schedule", "$queue/default", "$queue/other", "queue/default", "routeq/store/other")
"""Where a producer may publish; a device at least to a queue of its own."""

POSES: dict[str, dict[str, Any]] = {
    "a later attempt, in ten years": {"attempt": 99, "deliveries": 99, "delay": 3e8},
    "the same delivery, of a row": {"stored": True, "row": "0" * 16},
    "its next delivery": {"deliveries": 2, "stored": True},
    "admitted, and dead": {"options": {"admitted": True}, "deaths": 9, "attempt": 2},
    "another row's key": {"row": "0" * 16 + "~victim", "stored": True},
    "a job that nobody knows": {"job": "Nobody", "attempt": 3},
    "a job that fails": {"job": "GivesUp", "deliveries": 7},
    "too late": {"expires_at": 1.0, "attempt": 2},
}


@contextlib.asynccontextmanager
async def attacker(cluster: Cluster) -> AsyncIterator[Connection]:
    transport = AioTransport(Settings(url=cluster.url).address())
    connection = await transport.connect(ConnectOptions("attacker"), lambda message: None)
    try:
        yield connection
    finally:
        await connection.close()


async def pose(cluster: Cluster, *victims: str) -> None:
    """Publish every pose everywhere, and wait until the bus has dealt with what came before."""
    async with attacker(cluster) as connection:
        for victim in victims:
            for topic in WAYS:
                for changes in ({}, *POSES.values()):
                    said = {"id": victim, "job": "Report", "data": {"key": "evil"}} | changes
                    payload = Envelope(**said).encode()
                    if "store" in topic:
                        payload = pack({"args": [payload]})
                    await connection.publish(topic, payload)
    async with cluster.bus() as bus:
        await bus.dispatch(Report(key="after the attack"), confirm="stored")
    await cluster.recorder.wait(lambda: cluster.recorder.ran()["after the attack"] >= 1)


async def all_ran(cluster: Cluster, *keys: str) -> None:
    await cluster.recorder.wait(lambda: not set(keys) - set(cluster.recorder.ran()), str(keys))


async def test_jobs_are_ended_by_their_own_workers_only(cluster: Cluster) -> None:
    """Delayed, running, to be retried, held; with a row of the scheduler's and without."""
    await cluster.scheduler()
    await cluster.worker("default,other", "--concurrency", "9")
    async with cluster.bus() as bus:
        later = await bus.later(4.0, Report(key="later"))
        asked = await bus.dispatch(Gated(key="asked", gate="go"), confirm="stored", result_ttl=60)
        flow = await chain(Gated(key="first", gate="go"), Report(key="second")).dispatch(bus)
        running = [
            await bus.dispatch(Comeback(key="stored", gate="go"), confirm="stored"),
            await bus.dispatch(Comeback(key="express", gate="go")),
        ]
        await cluster.recorder.count("waits", 4)
        await pose(cluster, later.id, asked.id, *(one.id for one in running), *flow)
        assert (await asked.status()).state == "running"
        cluster.recorder.open("go")
        assert (await asked.wait(timeout=30)).state == "done"
        await all_ran(cluster, "later", "asked", "first", "second", "stored", "express")
        records = await bus.requests.call("failed.list")
    stored = {later.id, asked.id, running[0].id, *flow}
    assert not stored & {record["id"] for record in records}
    assert {"unknown job", "failed on purpose", "expired"} <= {one["reason"] for one in records}


async def test_jobs_of_a_dead_worker_run_again(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await cluster.worker("default,other", "--concurrency", "9")
    async with cluster.bus() as bus:
        victims = [
            await bus.dispatch(Gated(key="stored", gate="go"), confirm="stored"),
            await bus.dispatch(Gated(key="express", gate="go")),
        ]
    await cluster.recorder.count("waits", 2)
    await pose(cluster, *(one.id for one in victims))
    await worker.kill()
    await cluster.worker("default,other")
    cluster.recorder.open("go")
    await all_ran(cluster, "stored", "express")


async def test_what_waits_at_the_broker_takes_no_jobs_place(cluster: Cluster) -> None:
    """What poses as the job comes before it to the worker that will run both."""
    await cluster.scheduler()
    await cluster.worker("other")
    async with cluster.bus() as bus:
        victim = await bus.dispatch(Report(key="victim"), confirm="stored")
        async with attacker(cluster) as connection:
            for changes in ({}, {"stored": True}, *POSES.values()):
                said = {"id": victim.id, "job": "Report", "data": {"key": "evil"}} | changes
                for topic in ("$queue/default", "$queue/other"):
                    await connection.publish(topic, Envelope(**said).encode())
        await cluster.worker("default")
        await all_ran(cluster, "victim")


async def test_a_failed_record_keeps_its_id(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    async with cluster.bus() as bus:
        workers = "$queue/default" if cluster.shares_queue else "queue/default"
        async with attacker(cluster) as connection:
            for number in range(3):
                sent: dict[str, Any] = {
                    "id": "pump-7-1",
                    "job": "GivesUp",
                    "headers": {"n": number},
                }
                await connection.publish(workers, Envelope(**sent).encode())
        records = await cluster.failed_records(bus, 3)
    assert len({record["id"] for record in records}) == 3
    assert "pump-7-1" in {record["id"] for record in records}
