"""What a job may expect, on every broker: through the public API and real processes.

The broker in memory passes the same contract, without a process.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from routeq_mqtt import Bus, NoConsumer, NoScheduler
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import (
    AsksAgain,
    AwaitsCancelled,
    BadHook,
    Blocking,
    Flaky,
    Gated,
    GivesUp,
    Hopeless,
    OldStyle,
    Patient,
    Report,
    TooSlow,
    Typed,
)
from tests.cluster.process import Process

pytestmark = [pytest.mark.stock, pytest.mark.memory, pytest.mark.postgres, pytest.mark.dealt]


@pytest.mark.beside
async def test_a_job_runs(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    async with cluster.bus() as bus:
        job_id = await bus.dispatch(Report(key="one"))
    await cluster.recorder.count("ran", 1)
    event = cluster.recorder.events[0]
    assert (event["id"], event["key"], event["attempt"]) == (job_id, "one", 1)


@pytest.mark.processes
async def test_three_workers_share_and_each_job_runs_once(cluster: Cluster) -> None:
    await cluster.scheduler()
    for _ in range(3):
        await cluster.worker()
    async with cluster.bus() as bus:
        ids = await bus.bulk(Report(key=str(n)) for n in range(300))
    await cluster.recorder.count("ran", 300)
    assert set(cluster.recorder.ran().values()) == {1}
    assert len(set(ids)) == 300
    assert len({event["pid"] for event in cluster.recorder.events}) == 3


@pytest.mark.beside
async def test_a_delayed_job_runs_when_it_is_due(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    due = datetime.now(UTC) + timedelta(seconds=0.4)
    async with cluster.bus() as bus:
        await bus.later(due, Report(key="at"))
        await bus.later(0.4, Report(key="in"))
        await bus.later(3600, Report(key="much later"))
        await cluster.recorder.count("ran", 2)
        await cluster.ask_until(bus, "sizes", _one_delayed)
        assert (await bus.size("default")).delayed == 1
    assert cluster.recorder.ran() == {"at": 1, "in": 1}
    assert all(event["at"] >= due.timestamp() for event in cluster.recorder.events)


@pytest.mark.beside
async def test_a_job_that_fails_is_retried_with_backoff(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    async with cluster.bus() as bus:
        await bus.dispatch(Flaky())
    await cluster.recorder.count("ran", 1)
    tried = cluster.recorder.named("tried")
    assert [event["attempt"] for event in tried] == [1, 2, 3]
    assert tried[1]["at"] - tried[0]["at"] >= 0.05
    assert tried[2]["at"] - tried[1]["at"] >= 0.1


@pytest.mark.beside
async def test_a_job_out_of_tries_becomes_a_failed_record(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    async with cluster.bus() as bus:
        job_id = await bus.dispatch(Hopeless())
        await cluster.failed_records(bus, 1)
        record = await bus.requests.call("failed.show", id=job_id.id)
    await cluster.recorder.count("failed", 1)
    assert record["reason"] == "exception"
    assert record["error"] == "ValueError: never works"
    assert record["data"] == {"secret": "kept"}
    assert [attempt["attempt"] for attempt in record["attempts"]] == [1, 2]
    assert all("never works" in attempt["traceback"] for attempt in record["attempts"])


async def test_a_failed_hook_that_raises_keeps_the_record(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    async with cluster.bus() as bus:
        await bus.dispatch(BadHook())
        [record] = await cluster.failed_records(bus, 1)
        await cluster.recorder.count("hook", 1)
        await bus.dispatch(Report(key="after"))
    await cluster.recorder.count("ran", 1)
    assert record["error"] == "ValueError: first"


async def test_a_job_steers_its_own_fate(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    async with cluster.bus() as bus:
        await bus.dispatch(GivesUp())
        [record] = await cluster.failed_records(bus, 1)
        await bus.dispatch(AsksAgain())
    await cluster.recorder.count("ran", 1)
    assert record["reason"] == "failed on purpose"
    assert cluster.recorder.events[0]["attempt"] == 2


async def test_a_timeout_stops_the_handler_before_the_retry(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    async with cluster.bus() as bus:
        await bus.dispatch(TooSlow())
        [record] = await cluster.failed_records(bus, 1)
    assert [event["event"] for event in cluster.recorder.events] == ["tried", "stopped"] * 2
    assert record["reason"] == "timeout"
    assert "0.3 s" in record["error"]


async def test_a_jobs_own_timeout_beats_the_workers_flag(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--timeout", "0.05", "--max-tries", "1")
    async with cluster.bus() as bus:
        await bus.dispatch(Patient(gate="g"))
        await bus.dispatch(Gated(key="x", gate="never"))
        [record] = await cluster.failed_records(bus, 1)  # the flag holds where the class sets none
    cluster.recorder.open("g")
    await cluster.recorder.count("ran", 1)
    assert record["job"] == "Gated"


async def test_plain_functions_run_in_threads_and_block_nothing(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "3")
    async with cluster.bus() as bus:
        await bus.dispatch(Blocking(key="a"))
        await bus.dispatch(Blocking(key="b"))
        await cluster.recorder.count("waits", 2)
        await bus.dispatch(Report(key="beside"))
        await cluster.recorder.count("ran", 1)
    cluster.recorder.open("a")
    cluster.recorder.open("b")
    await cluster.recorder.count("ran", 3)


async def test_the_older_way_and_all_types_survive(cluster: Cluster) -> None:
    values = {
        "when": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        "id": UUID(int=7),
        "price": Decimal("1.20"),
        "raw": b"\x00\xff",
        "pair": (1, ("two", [3])),
    }
    await cluster.scheduler()
    await cluster.worker()
    job = OldStyle()
    job.to, job.count = "a@b.c", 3
    async with cluster.bus() as bus:
        await bus.push(job)
        await bus.push(Typed(values=values))
    await cluster.recorder.count("ran", 2)
    assert set(cluster.recorder.ran()) == {"a@b.c 3", repr(sorted(values.items()))}


async def test_a_job_without_a_worker_is_parked_and_runs_when_one_comes(cluster: Cluster) -> None:
    await cluster.scheduler()
    async with cluster.bus() as bus:
        ids = await bus.bulk([Report(key=str(n)) for n in range(50)], "never-heard-of")
        await bus.dispatch(Report(key="50"), queue="never-heard-of")
        await cluster.ask_until(bus, "ping", lambda answer: True)
        await cluster.size_until(bus, "never-heard-of", lambda size: size.parked >= 51)
    await cluster.worker("never-heard-of", "--concurrency", "1")
    await cluster.recorder.count("ran", 51)
    assert [event["key"] for event in cluster.recorder.events] == [str(n) for n in range(51)]
    assert len(ids) == 50


@pytest.mark.processes
async def test_a_device_needs_no_library(cluster: Cluster, mosquitto_pub: str) -> None:
    await cluster.scheduler()
    await cluster.worker()
    message = json.dumps({"job": "Report", "data": {"key": "device"}})
    publisher = await Process.start(
        "device", mosquitto_pub, "-p", str(cluster.port), "-q", "1", "-V", "mqttv311",
        "-t", cluster.topics.intake("default"), "-m", message,
    )  # fmt: skip
    assert await publisher.ended() == 0, publisher.output
    await cluster.recorder.count("ran", 1)
    assert cluster.recorder.events[0]["id"]


@pytest.mark.beside
async def test_a_device_may_say_when_its_job_is_due(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    begun = time.time()
    at = {"job": "Report", "data": {"key": "at"}, "run_at": begun + 0.5}
    late = {"job": "Report", "data": {"key": "in"}, "delay": 0.5}
    async with cluster.bus() as bus:
        connection = await bus.sender.link.ready()
        intake = bus.sender.surroundings.intake("default")
        for message in (at, late):
            await connection.publish(intake, json.dumps(message).encode())
        await bus.dispatch(Report(key="now"))
    await cluster.recorder.count("ran", 3)
    ran = {event["key"]: event for event in cluster.recorder.events}
    assert all(ran[key]["at"] >= begun + 0.5 for key in ("at", "in"))
    assert {event["attempt"] for event in ran.values()} == {1}


async def test_a_job_that_awaits_something_cancelled_fails_and_its_slot_lives_on(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "1")
    async with cluster.bus() as bus:
        job_id = await bus.dispatch(AwaitsCancelled())
        [record] = await cluster.failed_records(bus, 1)
        await bus.dispatch(Report(key="after"))
    await cluster.recorder.count("ran", 1)
    assert (record["id"], record["reason"]) == (job_id, "exception")
    assert "CancelledError" in record["error"]


@pytest.mark.beside
async def test_where_nobody_holds_jobs_dispatch_says_so_at_once(cluster: Cluster) -> None:
    async with cluster.bus() as bus:
        if cluster.shares_queue:
            await bus.dispatch(Report(key="held by the broker"))
        else:
            with pytest.raises(NoConsumer, match="start one: routeq-mqtt scheduler"):
                await bus.dispatch(Report(key="lost"))
            with pytest.raises(NoConsumer):
                await bus.bulk([Report(key="lost")])
        with pytest.raises(NoScheduler):
            await bus.later(1, Report(key="later"))


@pytest.mark.beside
async def test_durable_dispatch_is_dropped_when_it_comes_twice(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    async with cluster.bus() as bus:
        ids = await bus.bulk([Report(key=str(n)) for n in range(20)], confirm="stored")
        await cluster.recorder.count("ran", 20)
        await cluster.ask_until(bus, "sizes", _nothing_left)
        await _send_again(bus, ids[0])
        await bus.dispatch(Report(key="last"), confirm="stored")
    await cluster.recorder.wait(lambda: "last" in cluster.recorder.ran())
    assert set(cluster.recorder.ran().values()) == {1}


def _nothing_left(sizes: dict[str, dict[str, int]]) -> bool:
    return not any(size["parked"] + size["released"] for size in sizes.values())


async def _send_again(bus: Bus, job_id: str) -> None:
    """As a producer does whose connection broke before the reply."""
    from routeq_mqtt.wire.envelopes.envelope import Envelope

    envelope = Envelope(id=job_id, job="Report", data={"key": "again"}, queue="default")
    topic = bus.sender.topics.store("default")
    assert await bus.requests.exchange(topic, [envelope.encode()], timeout=5) == [job_id]


def _one_delayed(sizes: dict[str, dict[str, int]]) -> bool:
    return sizes.get("default", {}).get("delayed") == 1
