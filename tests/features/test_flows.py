"""Chains and batches, on both brokers, and when things die meanwhile."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from routeq_mqtt import (
    BatchHandle,
    BatchProgress,
    Bus,
    ConfigurationError,
    RequestFailed,
    SyncBus,
    batch,
    chain,
)
from routeq_mqtt.scheduler.features.admission import Admission
from routeq_mqtt.scheduler.features.batches import INCOMPLETE_AFTER, drop_incomplete
from routeq_mqtt.scheduler.features.uniqueness import special
from routeq_mqtt.scheduler.store.rows import NewBatch, NewRow
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.wire.envelopes.envelope import Envelope
from tests.cluster.cluster import Cluster
from tests.cluster.process import Process
from tests.cluster.recorder import TIMEOUT
from tests.features.jobs import AddsMore, OneAtATime, Part

APP = ("--app", "tests.features.jobs")


async def over(handle: BatchHandle) -> BatchProgress:
    async with asyncio.timeout(TIMEOUT):
        while (progress := await handle.progress()).finished_at is None:
            pass
    return progress


async def settled(cluster: Cluster, bus: Bus) -> None:
    """Nothing waits, runs or is held."""
    await cluster.ask_until(
        bus, "sizes",
        lambda sizes: not any(s["parked"] + s["released"] + s["held"] for s in sizes.values()),
    )  # fmt: skip


async def test_a_chain_runs_in_order_over_several_queues_and_workers(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    await cluster.worker("other,default", *APP)
    last = Part(key="3")
    last.queue = "other"
    async with cluster.bus() as bus:
        ids = await chain(Part(key="1", gate="go"), Part(key="2"), last).dispatch(bus)
        await cluster.recorder.count("waits", 1)
        assert (await bus.size("default")).held == 1
        assert (await bus.size("other")).held == 1
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 3)
        await settled(cluster, bus)
    assert [event["id"] for event in cluster.recorder.named("ran")] == ids
    assert [event["key"] for event in cluster.recorder.named("ran")] == ["1", "2", "3"]


async def test_a_chain_stops_where_a_job_fails_and_goes_on_when_it_was_mended(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    mended = cluster.folder / "mended"
    await cluster.worker("default", *APP, ROUTEQ_TEST_MENDED=str(mended))
    async with cluster.bus() as bus:
        [_, broken, _] = await chain(
            Part(key="1"), Part(key="2", fails=True), Part(key="3")
        ).dispatch(bus)
        await cluster.failed_records(bus, 1)
        assert cluster.recorder.ran() == {"1": 1}
        assert (await bus.size("default")).held == 1
        mended.touch()
        await bus.requests.call("failed.retry", ids=[broken])
        await cluster.recorder.count("ran", 3)
        await settled(cluster, bus)
    assert [event["key"] for event in cluster.recorder.named("ran")] == ["1", "2", "3"]


@pytest.mark.parametrize("how", ["forget", "cancel the first", "cancel a later one"])
async def test_a_chain_that_will_not_go_on_leaves_nothing_behind(
    cluster: Cluster, how: str
) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        first = Part(key="1", fails=how == "forget", gate="go")
        ids = await chain(first, Part(key="2"), Part(key="3")).dispatch(bus)
        await cluster.recorder.count("waits", 1)
        if how == "forget":
            cluster.recorder.open("go")
            await cluster.failed_records(bus, 1)
            await bus.requests.call("failed.forget", ids=ids[:1])
        elif how == "cancel the first":
            assert await bus.cancel(ids[0]) == "asked"
        else:
            assert await bus.cancel(ids[2]) == "cancelled"
            cluster.recorder.open("go")
            await cluster.recorder.count("ran", 2)
        await settled(cluster, bus)
    assert len(cluster.recorder.named("ran")) == (2 if how == "cancel a later one" else 0)


async def test_a_batch_runs_its_callbacks_once_when_all_is_done(cluster: Cluster) -> None:
    await cluster.scheduler()
    for _ in range(2):
        await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        handle = await (
            batch([*(Part(key=f"part {n}") for n in range(600)), AddsMore(more=5)], name="import")
            .then(Part(key="then"))
            .catch(Part(key="catch"))
            .finally_(Part(key="finally"))
            .dispatch(bus)
        )
        progress = await over(handle)
        assert (progress.name, progress.total, progress.done) == ("import", 606, 606)
        await cluster.recorder.count("ran", 608)
        await settled(cluster, bus)
    ran = cluster.recorder.ran()
    assert set(ran.values()) == {1}
    assert {"then", "finally", "grows", "added 4"} <= ran.keys()
    assert "catch" not in ran


async def test_a_batch_with_a_failure_runs_catch_and_finally(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        handle = await (
            batch([Part(key="good", gate="go"), Part(key="a", fails=True)])
            .then(Part(key="then")).catch(Part(key="catch")).finally_(Part(key="finally"))
            .dispatch(bus)
        )  # fmt: skip
        await cluster.recorder.count("ran", 1)  # catch, while the other one still runs
        assert cluster.recorder.ran() == {"catch": 1}
        cluster.recorder.open("go")
        progress = await over(handle)
        assert (progress.total, progress.failed, progress.done) == (2, 1, 1)
        await cluster.recorder.count("ran", 3)
        assert (await bus.size("default")).held == 1  # `then`: the failed job may be run again
    assert cluster.recorder.ran() == {"catch": 1, "good": 1, "finally": 1}


async def test_catch_runs_when_the_failing_job_ends_last_and_then_when_it_was_mended(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    mended = cluster.folder / "mended"
    await cluster.worker("default", *APP, ROUTEQ_TEST_MENDED=str(mended))
    async with cluster.bus() as bus:
        handle = await (
            batch([Part(key="only", fails=True)])
            .then(Part(key="then")).catch(Part(key="catch")).finally_(Part(key="finally"))
            .dispatch(bus)
        )  # fmt: skip
        assert (await over(handle)).failed == 1
        await cluster.recorder.count("ran", 2)
        assert cluster.recorder.ran() == {"catch": 1, "finally": 1}
        mended.touch()
        [record] = await bus.requests.call("failed.list")
        await bus.requests.call("failed.retry", ids=[record["id"]])
        await cluster.recorder.count("ran", 4)
        await settled(cluster, bus)
    assert cluster.recorder.ran() == {"catch": 1, "finally": 1, "only": 1, "then": 1}


async def test_a_batch_is_cancelled_as_a_whole(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP, "--concurrency", "1", "--prefetch", "0")
    async with cluster.bus() as bus:
        handle = await (
            batch(Part(key=str(n), gate="never") for n in range(20))
            .then(Part(key="then")).finally_(Part(key="finally")).dispatch(bus)
        )  # fmt: skip
        await cluster.recorder.count("waits", 1)
        await handle.cancel()
        progress = await over(handle)
        assert (progress.cancelled, progress.called_off) == (20, True)
        await handle.add([Part(key="too late")])
        await cluster.recorder.count("ran", 1)
        await settled(cluster, bus)
    assert cluster.recorder.ran() == {"finally": 1}


async def test_a_batch_whose_producer_dies_between_two_messages_runs_nothing(
    cluster: Cluster,
) -> None:
    """And one that is complete in several messages begins as a whole."""
    scheduler = await cluster.scheduler()
    await cluster.worker("default", *APP)
    producer = await Process.start(
        "producer", sys.executable, "-m", "tests.features.halfway", env=cluster.env
    )
    cluster.processes.append(producer)
    await producer.says("sent")
    await producer.kill()
    [batch_id] = [line.split()[1] for line in producer.lines if line.startswith("sent")]
    async with cluster.bus(timeout=30.0) as bus:
        handle = BatchHandle(batch_id, bus)
        assert (await handle.progress()).total == 500
        await scheduler.kill()
        await cluster.scheduler()
        whole = await batch(Part(key=f"whole {n}") for n in range(501)).dispatch(bus)
        assert (await over(whole)).done == 501
        progress = await handle.progress()
        assert (progress.total, progress.pending, progress.finished_at) == (500, 500, None)
        await handle.cancel()
        progress = await over(handle)
        assert (progress.cancelled, progress.called_off) == (500, True)
        await cluster.recorder.count("ran", 502)
        await settled(cluster, bus)
    ran = cluster.recorder.ran()
    assert ran.pop("finally") == 1
    assert all(key.startswith("whole ") for key in ran)


async def test_an_incomplete_batch_is_called_off_after_an_hour(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "routeq.db")
    admission = Admission(store.database, OPEN)
    rows = [special(_row(envelope), envelope, 0.0) for envelope in _batch_of_three()]
    first = NewBatch(id="b", name="import", open=True)
    await admission.take(rows[:2], 0.0, batches=[first])
    await admission.take(rows[:2], 1.0, batches=[first])  # asked again
    await admission.take(rows[2:3], 1_800.0, batches=[first])
    assert await store.parked("q", 10) == []
    assert await drop_incomplete(store.database, 1_799.0 + INCOMPLETE_AFTER) == 0
    assert await drop_incomplete(store.database, 1_800.0 + INCOMPLETE_AFTER) == 1
    assert await drop_incomplete(store.database, 1e9) == 0
    [record] = await store.failed_list()
    assert (record.id, record.queue, record.reason) == ("b", "q", "incomplete batch")
    assert "its producer sent 2 jobs and then no more for 3600 s" in record.error
    # What comes too late is over at once, and does not open it again.
    late = Envelope(id="late", job="J", options={"batch": "b"})
    last = NewBatch(id="b", name="import", open=False)
    await admission.take([special(_row(late), late, 0.0)], 9_000.0, batches=[last])
    assert [row.id for row in await store.parked("q", 10)] == ["finally"]
    await store.close()


async def test_the_last_message_of_a_batch_sets_all_of_it_free(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "routeq.db")
    admission = Admission(store.database, OPEN)
    rows = [special(_row(envelope), envelope, 0.0) for envelope in _batch_of_three()]
    await admission.take(rows[:2], 0.0, batches=[NewBatch(id="b", name=None, open=True)])
    await admission.take(rows[2:], 1.0, batches=[NewBatch(id="b", name=None, open=False)])
    assert [row.id for row in await store.parked("q", 10)] == ["0", "1"]
    await store.done([("0", 1, True), ("1", 1, True)], 2.0)
    assert [row.id for row in await store.parked("q", 10)] == ["finally"]
    await store.close()


def _batch_of_three() -> list[Envelope]:
    """Two jobs and a callback, which comes with the last of them."""
    members = [Envelope(id=str(n), job="J", options={"batch": "b"}) for n in range(2)]
    return [
        *members,
        Envelope(id="finally", job="J", options={"chain": "batch:b", "step": 30}),
    ]


def _row(envelope: Envelope) -> NewRow:
    return NewRow(
        id=str(envelope.id), queue="q", attempt=1, deliveries=1, state="parked", run_at=0.0,
        durable=True, expires_at=None, envelope=envelope.encode(),
    )  # fmt: skip


async def test_an_empty_batch_is_over_at_once(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        handle = await batch([]).then(Part(key="then")).dispatch(bus)
        await cluster.recorder.count("ran", 1)
        cancelled = await handle.cancel()
        assert (cancelled.called_off, cancelled.finished_at is None) == (False, False)
    code, said = await cluster.cli("batch", handle.id, "--cancel")
    assert (code, "it was over before; nothing was cancelled" in said) == (0, True)


async def test_a_program_without_an_event_loop_has_chains_and_batches_too(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)

    def program() -> tuple[int, BatchProgress, str]:
        with SyncBus(settings=Settings(url=cluster.url)) as bus:
            ids = bus.dispatch_chain(chain(Part(key="alone")))
            waits = bus.dispatch_batch(batch([Part(key="a", gate="never")]))
            added = bus.add_to_batch(waits, [Part(key="b", gate="never")])
            assert bus.batch_progress(waits).total == 2
            with pytest.raises(RequestFailed, match="has the id 'gone'"):
                bus.add_to_batch("gone", [Part(key="lost")])
            return len(ids + added), bus.cancel_batch(waits), waits

    number, progress, batch_id = await asyncio.to_thread(program)
    assert (number, progress.called_off) == (2, True)
    async with cluster.bus() as bus:
        assert (await over(BatchHandle(batch_id, bus))).cancelled == 2
    assert "lost" not in cluster.recorder.ran()


@pytest.mark.parametrize(
    "step",
    [
        # The first commit may be that of a session, before the scheduler is online.
        *(f"{step};{time}" for step in ("before commit", "after commit") for time in (2, 3)),
        *(f"released;{time}" for time in (1, 2, 3)),
        "admitted",  # the batch and its callbacks come in one message
    ],
)
async def test_callbacks_run_once_wherever_the_scheduler_dies(cluster: Cluster, step: str) -> None:
    """Two last jobs that end in the same instant; every death is followed by a new scheduler."""
    succession = await cluster.succession(await cluster.dying_scheduler(step))
    await cluster.worker("default", *APP)
    async with cluster.bus(timeout=30.0) as bus:
        both = [Part(key="a", gate="go"), Part(key="b", gate="go")]
        handle = await (
            batch(both).then(Part(key="then")).finally_(Part(key="finally")).dispatch(bus)
        )
        await cluster.recorder.count("waits", 2)
        cluster.recorder.open("go")
        await cluster.recorder.wait(lambda: cluster.recorder.ran().keys() >= {"then", "finally"})
        await succession
        progress = await over(handle)
        assert (progress.total, progress.pending, progress.done) == (2, 0, 2)
        await settled(cluster, bus)
    ran = cluster.recorder.ran()
    assert (ran["then"], ran["finally"]) == (1, 1)


async def test_a_batch_outlives_worker_and_broker(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await cluster.worker("default", *APP)
    async with cluster.bus(timeout=30.0) as bus:
        parts = [Part(key=str(n), gate="go") for n in range(5)]
        for part in parts:
            part.max_tries = 5
        handle = await batch(parts).then(Part(key="then")).dispatch(bus)
        await cluster.recorder.count("waits", 5)
        await worker.kill()
        await cluster.restart_broker(signal.SIGKILL)
        await cluster.worker("default", *APP)
        await cluster.recorder.count("waits", 10)
        cluster.recorder.open("go")
        assert (await over(handle)).done == 5
        await cluster.recorder.wait(lambda: "then" in cluster.recorder.ran())
        await settled(cluster, bus)
    assert cluster.recorder.ran() == {"0": 1, "1": 1, "2": 1, "3": 1, "4": 1, "then": 1}


async def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="10000 jobs; name 1 to 500"):
        chain(*[Part(key="many")] * 10_000)
    with pytest.raises(ConfigurationError, match="called twice"):
        batch([]).then(Part(key="a")).then(Part(key="b"))
    with pytest.raises(ConfigurationError, match="cannot be part of a chain"):
        await chain(OneAtATime(key="a"), Part(key="b")).dispatch(Bus("mqtt://127.0.0.1:1"))
