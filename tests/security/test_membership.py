"""Who knows the id of a chain or a batch alters neither, and nobody passes a limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from routeq_mqtt import Bus, Job
from routeq_mqtt.bus.features.batches import part_of
from routeq_mqtt.scheduler.features.admission import Admission
from routeq_mqtt.scheduler.features.uniqueness import special
from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
from routeq_mqtt.scheduler.store.rows import NewBatch, NewRow
from routeq_mqtt.scheduler.store.schema.identity import OWN
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.transport.base import Connection
from routeq_mqtt.wire import admission
from routeq_mqtt.wire.envelopes.callbacks import THEN
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.packing import pack
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Gated, GatedSlot, Report

WAYS = ("routeq/schedule", "$queue/default", "queue/default", "routeq/store/default")

FORGED: list[dict[str, Any]] = [
    {"chain": "flow", "step": 0},
    {"chain": "flow", "step": 7},
    {"chain": "batch:parts", "step": THEN - 1},
    {"chain": "batch:parts", "step": THEN},
    {"batch": "of nobody"},
]


async def forge(cluster: Cluster, options: list[dict[str, Any]], *jobs: Job) -> None:
    """Publish jobs that name what is not theirs, everywhere; also as if they were admitted."""
    async with publisher(cluster) as (connection, bus):
        for number, option in enumerate(options):
            for more in ({}, {"admitted": True}, {"admitted": True, "admission": "0" * 32}):
                for way in WAYS:
                    for job in jobs:
                        one = bus.envelope(job)
                        marks = {"row": "0" * 16, "stored": True} if number % 2 and more else {}
                        said = one.evolve(queue="default", options=option | more, **marks)
                        payload = said.encode()
                        if "store" in way:
                            payload = pack({"args": [payload]})
                        await connection.publish(way, payload)


@contextlib.asynccontextmanager
async def publisher(cluster: Cluster) -> AsyncIterator[tuple[Connection, Bus]]:
    async with cluster.bus() as bus:
        yield await bus.sender.link.ready(), bus


async def test_a_chain_and_a_batch_go_on_by_their_own_jobs_only(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "9")
    async with cluster.bus() as bus:
        first = part_of(bus.envelope(Gated(key="first", gate="go")), chain="flow", step=0)
        second = part_of(bus.envelope(Report(key="second")), chain="flow", step=1)
        await bus.store([first, second])
        part = part_of(bus.envelope(Gated(key="part", gate="go")), batch="parts")
        then = part_of(bus.envelope(Report(key="then")), chain="batch:parts", step=THEN)
        begun = {"id": "parts", "name": None, "open": False}
        await bus.store([then, part], batch=begun)
        await cluster.recorder.count("waits", 2)
        await forge(cluster, FORGED, Report(key="evil"))
        await bus.dispatch(Report(key="barrier"), confirm="stored")
        await cluster.recorder.wait(lambda: bool(cluster.recorder.ran()["barrier"]))
        assert not {"second", "then"} & set(cluster.recorder.ran())
        shown = await bus.batch_progress("parts")
        assert (shown.total, shown.pending, shown.failed) == (1, 1, 0)
        cluster.recorder.open("go")
        await cluster.recorder.wait(lambda: {"second", "then"} <= set(cluster.recorder.ran()))
        assert cluster.recorder.ran()["second"] == cluster.recorder.ran()["then"] == 1
        records = await bus.requests.call("failed.list", limit=1000)
    assert {record["reason"] for record in records} == {"refused"}
    errors = "\n".join(record["error"] for record in records)
    for why in ("chain='flow' is complete", "'parts' is not open for callbacks", "is not known"):
        assert why in errors


async def test_a_claim_to_be_admitted_passes_no_limit(cluster: Cluster) -> None:
    """The slot is taken; what says that it was decided on waits behind it like any other."""
    await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "9")
    async with cluster.bus() as bus:
        await bus.dispatch(GatedSlot(key="holds", gate="go"))
        await cluster.recorder.count("waits", 1)
        option = bus.envelope(GatedSlot(key="evil", gate="go")).options
        await forge(cluster, [option, option], GatedSlot(key="evil", gate="go"))
        await bus.dispatch(Report(key="barrier"), confirm="stored")
        await cluster.recorder.wait(lambda: bool(cluster.recorder.ran()["barrier"]))
        number = 2 * 3 * (3 if cluster.shares_queue else 4)
        await cluster.ask_until(
            bus, "sizes", lambda sizes: sizes.get("default", {}).get("limited", 0) >= number
        )
    assert len(cluster.recorder.named("waits")) == 1


def row(job_id: str, *, origin: bytes | None = None, **options: Any) -> NewRow:
    envelope = Envelope(id=job_id, job="J", queue="q", options=options)
    plain = NewRow(
        id=job_id, queue="q", attempt=1, deliveries=1, state="parked", run_at=0.0, durable=True,
        expires_at=None, envelope=envelope.encode(), origin=origin,
    )  # fmt: skip
    return special(plain, envelope, 0.0)


@pytest.fixture
async def store(place: DatabasePlace) -> AsyncIterator[Store]:
    one = await Store.open(place)
    yield one
    await one.close()


async def test_a_broadcast_takes_no_job_but_the_schedulers_own(store: Store) -> None:
    """Its id may be one that an operator chose, and that can be guessed."""
    taken = Admission(store.database, OPEN)
    batch = NewBatch(id="firmware-7", name=None, open=False)
    own = row("firmware-7@pump", origin=OWN, batch="firmware-7")
    await taken.take([row("early", batch="firmware-7")], 0.0)
    await taken.take([own], 0.0, batches=[batch])
    await taken.take([row("late", batch="firmware-7")], 0.0)
    [[pending]] = await store.database.read("SELECT pending FROM batches")
    assert pending == 1
    records = await store.failed_list()
    assert {record.id.rpartition("~")[0] for record in records} == {"early-refused", "late-refused"}
    assert {record.reason for record in records} == {"refused"}


async def test_a_message_that_is_sent_again_is_still_of_its_chain(store: Store) -> None:
    taken = Admission(store.database, OPEN)
    rows = [row(f"step {n}", chain="flow", step=n) for n in range(3)]
    await taken.take(rows[1:], 0.0)
    await taken.take(rows[:1], 0.0)
    for again in (rows, rows[1:], rows[:1]):
        await taken.take(again, 0.0)
    await taken.take([row("step 9", chain="flow", step=9)], 0.0)
    assert [record.error for record in await store.failed_list()] == ["chain='flow' is complete"]
    assert await store.get("step 9") is None


def test_a_mark_is_of_one_job_one_queue_and_one_key() -> None:
    key = admission.key_of(b"secret")
    made = admission.mark(key, "job", "queue")
    assert admission.fits(key, made, "job", "queue")
    others = [("other", "queue"), ("job", "other")]
    assert not any(admission.fits(key, made, *other) for other in others)
    assert not admission.fits(admission.key_of(b"other"), made, "job", "queue")
    assert not admission.fits(key, None, "job", "queue")
    assert admission.read_key(admission.encode_key(key, 1.0)) == key


async def test_the_key_of_a_worker_that_waits(cluster: Cluster) -> None:
    """A limited job that was admitted runs, with the mark that its worker checks."""
    await cluster.worker("default")
    await cluster.scheduler()
    async with cluster.bus() as bus:
        cluster.recorder.open("go")
        async with asyncio.timeout(30):
            await bus.dispatch(GatedSlot(key="marked", gate="go"))
            await cluster.recorder.wait(lambda: bool(cluster.recorder.ran()["marked"]))
