"""What is bounded: releases, results, and what travels in one message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import Bus, batch, chain
from routeq_mqtt.bus.features.batches import parts_of
from routeq_mqtt.scheduler.features.admission import Admission
from routeq_mqtt.scheduler.features.rollouts import Broadcast
from routeq_mqtt.scheduler.features.uniqueness import special
from routeq_mqtt.scheduler.store.rows import NewRow
from routeq_mqtt.scheduler.store.sql import special as sql_special
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.messages.requests import DeviceBroadcast
from tests.cluster.cluster import Cluster
from tests.features.bounded_jobs import Big, Forever, Heavy
from tests.features.jobs import Install
from tests.features.test_devices import device, known, over

APP = ("--app", "tests.features.bounded_jobs")


async def test_a_job_cannot_release_itself_beyond_its_retry_until(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        await bus.dispatch(Forever())
        [record] = await cluster.failed_records(bus, 1)
    assert record["reason"] == "retry_until"
    tried = cluster.recorder.named("tried")
    assert tried[-1]["at"] - tried[0]["at"] < 1.5


async def test_a_result_that_is_too_large_fails_its_job_and_blocks_no_worker(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        await bus.dispatch(Big(size=20_000_000), result_ttl=60)
        small = await bus.dispatch(Big(size=100_000), result_ttl=60)
        assert len(str(await small.result(timeout=30))) == 100_000
        [record] = await cluster.failed_records(bus, 1)
    assert record["reason"] == "its result cannot travel"
    assert "more than 1048576" in record["error"]


async def test_a_chain_and_a_batch_may_be_larger_than_a_message(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    jobs = [Heavy(key=str(number), text="x" * 200_000) for number in range(20)]
    async with cluster.bus(timeout=30.0) as bus:
        ids = await chain(*jobs).dispatch(bus)
        await cluster.recorder.count("ran", 20)
        assert [event["id"] for event in cluster.recorder.named("ran")] == ids
        handle = await batch(jobs).dispatch(bus)
        await cluster.recorder.count("ran", 40)
        assert (await handle.progress()).total == 20


def test_parts_are_bounded_and_keep_their_order() -> None:
    envelopes = [Envelope(id=str(n), job="J", data={"x": "x" * 400_000}) for n in range(5)]
    parts = parts_of(envelopes)
    assert [len(part) for part in parts] == [2, 2, 1]
    assert [one for part in parts for one in part] == envelopes
    assert parts_of([]) == [[]]


async def test_a_chain_whose_first_job_never_came_is_dropped(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "routeq.db")
    for name, steps in (("headless", (1, 2)), ("whole", (0, 1))):
        await Admission(store.database, OPEN).take([_step(name, step) for step in steps], 0.0)
    await store.database.write(sql_special.DROP_HEADLESS, [(10.0, 5.0)])
    rows = await store.database.read("SELECT id, outcome FROM jobs")
    found = {str(job_id): outcome for job_id, outcome in rows}
    assert found == {
        "headless 1": "incomplete chain", "headless 2": "incomplete chain",
        "whole 0": None, "whole 1": None,
    }  # fmt: skip
    await store.close()


def _step(name: str, step: int) -> NewRow:
    envelope = Envelope(id=f"{name} {step}", job="J", options={"chain": name, "step": step})
    return special(
        NewRow(
            id=str(envelope.id), queue="q", attempt=1, deliveries=1, state="parked", run_at=0.0,
            durable=True, expires_at=None, envelope=envelope.encode(),
        ),
        envelope,
        0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("abort_after", "number"),
    [(0.07, 7), (0.01, 1), (0.001, 1), (0.071, 8), (1.0, 100), (1, 1), (5, 5), (None, None)],
)
def test_a_share_of_devices_is_what_it_says(abort_after: float | None, number: Any) -> None:
    envelope = Envelope(job="J").encode()
    asked = DeviceBroadcast(id="b", envelope=envelope, where={}, abort_after=abort_after)
    assert Broadcast.read(asked).abort_at(100) == number


async def test_a_device_that_is_forgotten_leaves_no_broadcast_open(cluster: Cluster) -> None:
    await cluster.scheduler()
    gone = await device(cluster, "gone")
    await device(cluster, "here")
    async with cluster.bus() as bus:
        await known(cluster, bus, "gone", "here")
        await gone.kill()
        handle = await bus.broadcast(Install())
        await cluster.recorder.count("ran", 1)
        await bus.requests.call("device.forget", name="gone")
        progress = await over(handle)
    assert (progress.total, progress.done, progress.cancelled) == (2, 1, 1)


async def test_an_order_to_cancel_goes_with_its_job(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        done = await bus.dispatch(Big(size=1), result_ttl=60)
        await done.result(timeout=30)
        assert await bus.cancel(done) == "over"
        assert await orders(bus) == []


async def orders(bus: Bus) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await bus.requests.call("orders")
    return found
