"""What a broker is too small for ends in a failed record, and holds nothing else up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from routeq_mqtt import Job, PublishRefused
from routeq_mqtt.testing import BrokerOptions, MemoryBroker
from routeq_mqtt.testing.bus import MemoryBus
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.recorder import TIMEOUT

LIMIT = 20_000
"""Bytes that the broker in memory takes."""


RUNS: list[tuple[str | None, int]] = []


class LargeResult(Job):
    result_ttl = 60.0

    async def handle(self) -> bytes:
        return bytes(LIMIT + 1)


class LargeRetry(Job):
    """Fits, and so does its next attempt, but not with the error of the first."""

    filler: bytes
    max_tries = 2
    retry_after = 0.1

    async def handle(self) -> None:
        RUNS.append((self.job_id, self.attempts))
        if self.attempts == 1:
            raise ValueError("x" * 1_000)


class LargeRecord(Job):
    filler: bytes
    max_tries = 1

    async def handle(self) -> None:
        raise ValueError("y" * 1_000)


class Small(Job):
    async def handle(self) -> None:
        """Nothing."""


KINDS = [(True, True), (True, False), (False, False)]
"""MQTT 5 with a broker that says its limit, and one that does not; MQTT 3.1.1 cannot say it."""


async def records(bus: MemoryBus, number: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(TIMEOUT):
        while True:
            found: list[dict[str, Any]] = await bus.requests.call("failed.list")
            if len(found) >= number:
                return [await bus.requests.call("failed.show", id=row["id"]) for row in found]


OUTCOMES: list[tuple[Job, str]] = [
    (LargeResult(), "its result cannot travel"),
    (LargeRecord(filler=bytes(LIMIT - 600)), "exception"),
    (LargeRecord(filler=bytes(LIMIT - 200)), "exception"),  # no room for its own fields
]


@pytest.mark.parametrize(("mqtt5", "tells"), KINDS)
async def test_what_is_too_large_ends_and_all_else_goes_on(*, mqtt5: bool, tells: bool) -> None:
    def bus() -> MemoryBus:
        options = BrokerOptions(mqtt5=mqtt5, max_packet=LIMIT, tells_max_packet=tells)
        return MemoryBus("default", broker=MemoryBroker(options))

    stories = [an_outcome_becomes_a_record_that_fits(bus(), *one) for one in OUTCOMES]
    await asyncio.gather(
        *stories,
        a_retry_goes_without_the_errors_that_do_not_fit(bus()),
        a_dispatch_is_refused(bus()),
    )


async def an_outcome_becomes_a_record_that_fits(bus: MemoryBus, job: Job, reason: str) -> None:
    async with bus:
        await bus.dispatch(job)
        others = [bus.dispatch(Small()) for _ in range(20)]
        await asyncio.gather(*others)
        [record] = await records(bus, 1)
        assert record["reason"] == reason
        assert record["job"] == type(job).__name__


async def a_retry_goes_without_the_errors_that_do_not_fit(bus: MemoryBus) -> None:
    async with bus:
        job_id = await bus.dispatch(LargeRetry(filler=bytes(LIMIT - 600)))
        async with asyncio.timeout(TIMEOUT):
            while (str(job_id), 2) not in RUNS:
                await asyncio.sleep(0.01)
        assert await bus.requests.call("failed.list") == []


async def a_dispatch_is_refused(bus: MemoryBus) -> None:
    async def others() -> None:
        for _ in range(50):
            await bus.dispatch(Small())

    async with bus:
        going_on = asyncio.create_task(others())
        with pytest.raises(PublishRefused, match=r"larger|ended the connection"):
            await bus.dispatch(LargeRecord(filler=bytes(LIMIT + 1)))
        await going_on


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_row_that_is_too_large_becomes_a_record_and_others_go_on(
    cluster: Cluster, protocol: str
) -> None:
    """It was taken in while the broker's limit was higher, and fits again when that is raised."""
    if cluster.kind == "embedded":
        return  # it takes what fits into MQTT
    scheduler = await cluster.scheduler(ROUTEQ_PROTOCOL=protocol)
    async with cluster.bus() as bus:
        await bus.dispatch(Report(key="x" * (LIMIT + 1)), confirm="stored")
        for number in range(20):
            await bus.dispatch(Report(key=f"small-{number}"), confirm="stored")
    cluster.extra_conf.append(f"max_packet_size {LIMIT}")
    await cluster.restart_broker()
    await cluster.worker(ROUTEQ_PROTOCOL=protocol)
    async with cluster.bus() as bus:
        await cluster.recorder.count("ran", 20)
        [record] = await cluster.failed_records(bus, 1)
        assert record["reason"] == "it cannot travel"
        lost = scheduler.output.count("connection lost")
        await bus.dispatch(Report(key="after"), confirm="stored")
        await cluster.recorder.count("ran", 21)
        assert scheduler.output.count("connection lost") == lost
        cluster.extra_conf.pop()
        await cluster.restart_broker()
        answer = await cluster.ask_until(bus, "failed.retry", bool, ids=[record["id"]])
        assert answer["retried"] == [record["id"]]
        await cluster.recorder.count("ran", 22)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_worker_with_a_result_too_large_goes_on_and_stops(
    cluster: Cluster, protocol: str
) -> None:
    if cluster.kind == "embedded":
        return  # it takes what fits into MQTT
    cluster.extra_conf.append(f"max_packet_size {LIMIT}")
    await cluster.restart_broker()
    await cluster.scheduler()
    worker = await cluster.worker(
        "default", "--app", "tests.contract.test_too_large", ROUTEQ_PROTOCOL=protocol
    )
    async with cluster.bus() as bus:
        await bus.dispatch(LargeResult())
        [record] = await cluster.failed_records(bus, 1)
        assert record["reason"] == "its result cannot travel"
        await bus.dispatch(Report(key="after"))
        await cluster.recorder.count("ran", 1)
    began = asyncio.get_running_loop().time()
    assert await worker.stop() == 0
    assert asyncio.get_running_loop().time() - began < 10.0
    assert worker.output.count("was refused id=") == 1
