"""Unique, debounced and throttled jobs, on both brokers, and when things die meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal

import pytest

from routeq_mqtt import Bus, NoScheduler
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.job import Job
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.process import Process
from tests.cluster.recorder import TIMEOUT
from tests.features.jobs import Latest, OneAtATime, OneWaits, Seldom

APP = ("--app", "tests.features.jobs")


async def test_dispatch_answers_with_the_id_of_the_job_that_is_there(cluster: Cluster) -> None:
    await cluster.scheduler()
    async with cluster.bus() as bus:
        first = await bus.dispatch(OneAtATime(key="a"))
        again = OneAtATime(key="a", note="dropped")
        assert await bus.dispatch(again) == again.job_id == first
        assert await bus.later(60, OneAtATime(key="a")) == first
        other = await bus.dispatch(OneAtATime(key="b"))
        assert await bus.bulk([OneAtATime(key=key) for key in "bcca"]) == [
            other, (third := await bus.dispatch(OneAtATime(key="c"))), third, first
        ]  # fmt: skip
        await cluster.ask_until(bus, "sizes", lambda sizes: _held(sizes) == 3)


async def test_a_unique_job_makes_room_when_it_is_over_however_it_ends(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        first = await bus.dispatch(OneAtATime(key="a"))
        await cluster.recorder.count("waits", 1)
        assert await bus.dispatch(OneAtATime(key="a")) == first
        cluster.recorder.open("a may end")
        await cluster.recorder.count("ran", 1)
        await _until_new(bus, OneAtATime(key="a", note="second"), first.id)
        await cluster.recorder.count("ran", 2)

        cancelled = await bus.later(60, OneAtATime(key="c"))
        assert await bus.cancel(cancelled) == "cancelled"
        assert await bus.later(60, OneAtATime(key="c")) != cancelled
    assert cluster.recorder.ran() == {"a": 1, "a second": 1}


async def _insist(bus: Bus, job: Job) -> str:
    """A broker that was killed has forgotten the scheduler, until that is back."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            with contextlib.suppress(NoScheduler):
                return (await bus.dispatch(job)).id


async def _until_new(bus: Bus, job: Job, old: str) -> str:
    """Dispatch until the scheduler has heard that the old one is over."""
    async with asyncio.timeout(TIMEOUT):
        while (job_id := (await bus.dispatch(job)).id) == old:
            pass
    return job_id


async def test_until_it_has_started_a_job_is_unique_and_no_longer(cluster: Cluster) -> None:
    await cluster.scheduler()
    async with cluster.bus() as bus:
        first = await bus.dispatch(OneWaits(key="w"))
        assert await bus.dispatch(OneWaits(key="w")) == first
        await cluster.worker("default", *APP)
        await cluster.recorder.count("waits", 1)
        second = await bus.dispatch(OneWaits(key="w", note="second"))
        assert second != first
        await cluster.recorder.count("waits", 2)
        cluster.recorder.open("w may end")
        await cluster.recorder.count("ran", 2)


async def test_the_last_of_debounced_jobs_wins(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        ids = [await bus.dispatch(Latest(page=1, text=f"one {n}")) for n in range(5)]
        other = await bus.dispatch(Latest(page=2, text="two"))
        assert len(set(ids)) == 1
        assert other not in ids
        await cluster.recorder.count("ran", 2)
        assert cluster.recorder.ran() == {"one 4": 1, "two": 1}
        await _until_new(bus, Latest(page=1, text="one again"), ids[0].id)
        await cluster.recorder.count("ran", 3)


async def test_a_throttled_job_stays_away_after_the_first_is_over(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        first = await bus.dispatch(Seldom(key="x"))
        await cluster.recorder.count("ran", 1)
        await cluster.ask_until(bus, "sizes", lambda sizes: not _held(sizes))
        assert await bus.dispatch(Seldom(key="x")) == first
        await bus.dispatch(Seldom(key="y"))
        await cluster.recorder.count("ran", 2)
    assert cluster.recorder.ran() == {"x": 1, "y": 1}


def _held(sizes: dict[str, dict[str, int]]) -> int:
    return sum(size["parked"] + size["released"] for size in sizes.values())


async def test_what_a_device_sends_is_unique_too(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    message = json.dumps({"job": "OneAtATime", "data": {"key": "d"}})
    for number in range(3):
        device = await Process.start(
            f"device-{number}", "mosquitto_pub", "-p", str(cluster.port), "-q", "1",
            "-t", "$queue/default", "-m", message,
        )  # fmt: skip
        assert await device.ended() == 0, device.output
    async with cluster.bus() as bus:
        await cluster.recorder.count("waits", 1)
        await bus.dispatch(Report(key="behind them"))
        await cluster.recorder.count("ran", 1)
        await cluster.ask_until(bus, "sizes", lambda sizes: _held(sizes) == 1)
        cluster.recorder.open("d may end")
        await cluster.recorder.count("ran", 2)
        await cluster.ask_until(bus, "sizes", lambda sizes: not _held(sizes))
    assert cluster.recorder.ran() == {"behind them": 1, "d": 1}


async def test_unique_stays_unique_whatever_is_killed(cluster: Cluster) -> None:
    """Worker, scheduler and broker, each while the job is at work."""
    scheduler = await cluster.scheduler()
    worker = await cluster.worker("default", *APP)
    async with cluster.bus(timeout=30.0) as bus:
        first = await bus.dispatch(OneAtATime(key="a"))
        await cluster.recorder.count("waits", 1)
        await worker.kill()
        assert await bus.dispatch(OneAtATime(key="a", note="after the worker")) == first
        await scheduler.kill()
        await cluster.scheduler()
        assert await bus.dispatch(OneAtATime(key="a", note="after the scheduler")) == first
        await cluster.restart_broker(signal.SIGKILL)
        assert await _insist(bus, OneAtATime(key="a", note="after the broker")) == first
        await cluster.worker("default", *APP)
        await cluster.recorder.count("waits", 2)
        cluster.recorder.open("a may end")
        await cluster.recorder.count("ran", 1)
        await _until_new(bus, OneAtATime(key="a", note="next"), first.id)
        await cluster.recorder.count("ran", 2)
    assert cluster.recorder.ran() == {"a": 1, "a next": 1}


def test_options_that_exclude_one_another_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="unique_for and throttle_for exclude"):
        type("Both", (Job,), {"unique_for": 1, "throttle_for": 1})
    with pytest.raises(ConfigurationError, match="unique_until='never' must be"):
        type("Never", (Job,), {"unique_for": 1, "unique_until": "never"})
