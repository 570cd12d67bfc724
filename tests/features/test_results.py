"""Results and progress, on both brokers, also when the scheduler dies meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

import pytest

from routeq_mqtt import (
    ConfigurationError,
    JobCancelled,
    JobFailed,
    NoResult,
    Progress,
    ResultTimeout,
    SyncBus,
    batch,
    chain,
)
from routeq_mqtt.bus.features.handles import JobHandle
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.base import Message
from tests.cluster.cluster import Cluster
from tests.cluster.recorder import TIMEOUT
from tests.features.result_jobs import (
    Adds,
    AddsLater,
    FailsForGood,
    KeepsNothing,
    Returns,
    ReturnsASocket,
    TellsAndWaits,
    TellsProgress,
    TellsProgressFromAProcess,
)

APP = ("--app", "tests.features.result_jobs")


async def test_a_result_comes_as_it_was_returned_and_is_kept(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        ticket = await bus.dispatch(Adds(a=(1, Decimal("1.5")), b=("x",)))
        assert await ticket.result(TIMEOUT) == (1, Decimal("1.5"), "x")
        assert await bus.handle(str(ticket)).result(TIMEOUT) == (1, Decimal("1.5"), "x")
        status = await ticket.status()
        assert (status.state, status.attempt) == ("done", 1)
        stored = await bus.dispatch(Adds(a=1, b=2), confirm="stored")
        assert await stored.result(TIMEOUT) == 3
        await cluster.ask_until(bus, "sizes", lambda sizes: not any(_rows(sizes)))


async def test_what_is_falsy_stays_what_it_is(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        falsy: list[Any] = [None, 0, False, "", 0.0, b"", []]
        for value in falsy:
            result = await (await bus.dispatch(Returns(value=value))).result(TIMEOUT)
            assert (result, type(result)) == (value, type(value))


async def test_a_result_whose_time_is_over_is_waited_for_by_nobody(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        ticket = await bus.dispatch(Returns(value="gone"), result_ttl=0.01)
        async with asyncio.timeout(TIMEOUT):
            with pytest.raises(NoResult, match="was not kept"):
                await _until_gone(bus.handle(str(ticket)))
        assert (await ticket.status()).state == "done"
        old = "0001" + str(ticket)[4:]
        with pytest.raises(NoResult, match="nothing is known of it"):
            await bus.handle(old).result()


async def _until_gone(ticket: JobHandle[object]) -> None:
    while True:
        assert await ticket.result() == "gone"


def _rows(sizes: dict[str, dict[str, int]]) -> list[int]:
    return [size["parked"] + size["released"] for size in sizes.values()]


async def test_mqtt_3_1_1_will_do(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus(protocol="3.1.1") as bus:
        ticket = await bus.dispatch(Adds(a=1, b=2))
        assert await ticket.result(TIMEOUT) == 3


async def test_many_wait_for_one_job_and_some_do_not_wait_long(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus, cluster.bus() as other:
        ticket = await bus.dispatch(AddsLater(a=1, b=2, gate="go"))
        await cluster.recorder.count("waits", 1)
        with pytest.raises(ResultTimeout, match=r"has not ended within 0\.05 s"):
            await ticket.result(0.05)
        waiting = [asyncio.create_task(one.result(ticket, TIMEOUT)) for one in (bus, bus, other)]
        cluster.recorder.open("go")
        assert await asyncio.gather(*waiting) == [3, 3, 3]


async def test_who_waits_learns_that_a_job_failed_or_was_cancelled(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        failed = await bus.dispatch(FailsForGood())
        with pytest.raises(JobFailed, match="failed on purpose: Fail: no such customer"):
            await failed.result(TIMEOUT)
        assert (await failed.status()).error == "Fail: no such customer"
        running = await bus.dispatch(AddsLater(a=1, b=2, gate="never"))
        await cluster.recorder.count("waits", 1)
        delayed = await bus.dispatch(Adds(a=1, b=2), delay=3600, confirm="stored")
        assert (await delayed.status()).state == "delayed"
        for ticket in (running, delayed):
            waiting = asyncio.create_task(ticket.result(TIMEOUT))
            await ticket.cancel()
            with pytest.raises(JobCancelled):
                await waiting


async def test_who_waits_is_told_at_once_of_jobs_that_end_with_others(cluster: Cluster) -> None:
    """Purged with their queue, cancelled with their chain or their batch: nobody waits on."""
    await cluster.scheduler()
    async with cluster.bus() as bus:
        await bus.pause("default")  # the embedded broker gets none of it
        purged = await bus.dispatch(Adds(a=1, b=2), queue="purged")
        stored = await bus.dispatch(Adds(a=1, b=2), queue="purged", confirm="stored")
        first, last = await chain(Adds(a=1, b=2), Adds(a=3, b=4)).dispatch(bus, delay=3600)
        member = Adds(a=1, b=2)
        whole = await batch([member]).dispatch(bus)
        ids = (purged, stored, last, str(member.job_id))
        waiting = [asyncio.create_task(bus.result(job_id, TIMEOUT)) for job_id in ids]
        await cluster.ask_until(bus, "status", lambda known: known["state"] == "held", id=last)
        assert await bus.purge("purged") == 2
        await bus.cancel(first)
        await whole.cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in done] == [JobCancelled] * 4
        assert "was cancelled with its chain" in str(done[2])
        status = await bus.status(last)
        assert (status.state, status.reason) == ("cancelled", "with its chain")


async def test_what_was_not_kept_is_said_to_be_done(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        nothing = await bus.dispatch(KeepsNothing(), confirm="stored")
        with pytest.raises(NoResult, match="set result_ttl in its class"):
            await nothing.result(TIMEOUT)
        something = await bus.dispatch(KeepsNothing(), result_ttl=60)
        assert await something.result(TIMEOUT) == "nobody asked"


async def test_a_result_that_cannot_travel_fails_the_job_once(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        ticket = await bus.dispatch(ReturnsASocket())
        with pytest.raises(JobFailed, match="its result cannot travel"):
            await ticket.result(TIMEOUT)
    assert cluster.recorder.ran() == {"socket": 1}


async def test_who_waits_outlives_the_scheduler_and_the_broker(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        ticket = await bus.dispatch(AddsLater(a=1, b=2, gate="go"), confirm="stored")
        await cluster.recorder.count("waits", 1)
        waiting = asyncio.create_task(ticket.result(TIMEOUT))
        await scheduler.kill()
        cluster.recorder.open("go")
        await cluster.scheduler()
        assert await waiting == 3
        later = await bus.dispatch(AddsLater(a=2, b=2, gate="then"), confirm="stored")
        await cluster.recorder.count("waits", 2)
        waiting = asyncio.create_task(later.result(TIMEOUT))
        await cluster.restart_broker()
        cluster.recorder.open("then")
        assert await waiting == 4


async def test_who_waits_is_told_that_the_scheduler_is_away(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    async with cluster.bus() as bus:
        ticket = await bus.dispatch(Adds(a=1, b=2), delay=3600, confirm="stored")
        changed = bus.sender.surroundings.scheduler_changed
        since = changed.fired
        await scheduler.kill()
        await changed.wait(TIMEOUT, since=since)
        for timeout in (0, 0.1):
            with pytest.raises(ResultTimeout, match="its state is unknown without a scheduler"):
                await ticket.result(timeout)


async def test_progress_is_in_the_status_and_among_the_events(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    words: list[dict[str, object]] = []

    def take(message: Message) -> None:
        words.extend(e for e in json.loads(message.payload) if e["event"] == "progress")

    async with cluster.bus() as bus:
        await bus.sender.listen([bus.sender.topics.events("+")], take)
        ticket = await bus.dispatch(TellsAndWaits())
        async with asyncio.timeout(TIMEOUT):
            while (await ticket.status()).progress is None:
                pass
        status = await ticket.status()
        assert status.state == "running"
        assert status.progress == Progress(done=3, total=10, note="three of ten")
        cluster.recorder.open("told")
        await ticket.result(TIMEOUT)
        words.clear()
        counting = await bus.dispatch(TellsProgress())
        assert await counting.result(TIMEOUT) == 100_000
        async with asyncio.timeout(TIMEOUT):
            while not words or words[-1]["done"] != 100_000:
                await bus.status(counting)
        assert len(words) < 1_000  # the latest word a few times a second, not each
        computing = await bus.dispatch(TellsProgressFromAProcess())
        assert await computing.result(TIMEOUT) == 10_000
        async with asyncio.timeout(TIMEOUT):
            while (words[-1]["note"], words[-1]["done"]) != ("computing", 10_000):
                await bus.status(computing)


async def test_a_program_without_an_event_loop_gets_results_too(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)

    def program() -> object:
        with SyncBus(settings=Settings(url=cluster.url)) as bus:
            return bus.result(bus.dispatch(Adds(a="a", b="b")), TIMEOUT)

    assert await asyncio.to_thread(program) == "ab"


async def test_what_a_syncbus_gave_is_not_asked_for_in_another_event_loop(cluster: Cluster) -> None:
    await cluster.scheduler()
    with SyncBus(settings=Settings(url=cluster.url)) as bus:
        sent = await asyncio.to_thread(bus.dispatch, Adds(a="a", b="b"))
        ticket = sent.handle
        asked: Awaitable[object]
        for asked in (ticket.result(TIMEOUT), ticket.status(), ticket.cancel()):
            with pytest.raises(ConfigurationError, match=r"SyncBus has result\(job_id\), status"):
                await asked
