"""Workers that are killed, hang, or take others along."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.faults.at_once import at_once
from tests.faults.jobs import Poison, Work
from tests.faults.site import Site
from tests.faults.verdict import DIED, shown


async def test_a_worker_is_killed_in_the_middle_of_long_jobs(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    await site.start_scheduler()
    first = await site.start_worker("--concurrency", "5")
    async with site.cluster.bus() as bus:
        for number in range(15):
            await site.send(bus, Work(key=f"long-{number}", seconds=1.5))
        await site.until("start", 5)
        await site.start_worker("--concurrency", "15")
        await site.kill_worker(first)
        await site.until("end", 15)
    verdict = await site.settled()
    verdict.assert_sound()
    assert len(verdict.doubled) == 5
    assert len(verdict.recovery) == 5
    with capsys.disabled():
        print(f"\n{site.cluster.kind}: kill -9 to the next start, {shown(verdict.recovery)}")  # noqa: T201
    charged = {line["key"]: line["attempt"] for line in site.events("end")}
    assert sorted(charged.values()) == [1] * 10 + [2] * 5


@at_once
async def test_workers_are_killed_in_the_middle_of_many_short_jobs(site: Site) -> None:
    await site.start_scheduler()
    for _ in range(2):
        await site.start_worker("--concurrency", "10")
    await site.start_producer("short", "--rate", "300", "--seconds", "0.02")
    for done in (100, 300, 500):
        await site.until("end", done)
        await site.kill_worker(site.workers[0])
        await site.start_worker("--concurrency", "10")
    await site.end_producers()
    verdict = await site.settled()
    verdict.assert_sound()
    assert len(verdict.doubled) <= 3 * 10 + 3


@at_once
async def test_a_worker_is_killed_right_after_it_came(site: Site) -> None:
    await site.start_scheduler()
    await site.start_worker("--concurrency", "5")
    await site.start_producer("early", "--rate", "200", "--seconds", "0.02")
    for _ in range(3):
        await site.kill_worker(await site.start_worker())
    await site.end_producers()
    (await site.settled()).assert_sound()


@at_once
async def test_the_next_worker_dies_while_the_first_is_adopted(site: Site) -> None:
    await site.start_scheduler()
    first = await site.start_worker("--concurrency", "5", "--prefetch", "300")
    async with site.cluster.bus() as bus:
        for number in range(300):
            await site.send(bus, Work(key=f"job-{number}", seconds=0.5))
        await site.until("start", 5)
        await site.start_worker("--concurrency", "5", "--prefetch", "300")
        await site.kill_worker(first)
        await site.until("start", 12)
        await site.kill_worker(site.workers[0])
        await site.start_worker("--concurrency", "100")
    verdict = await site.settled()
    verdict.assert_sound()
    assert set(verdict.doubled.values()) == {DIED}


@at_once
async def test_a_hung_workers_late_results_are_not_taken(site: Site) -> None:
    await site.start_scheduler()
    hung = await site.start_worker("--concurrency", "3")
    async with site.cluster.bus() as bus:
        for number in range(6):
            await site.send(bus, Work(key=f"hung-{number}", seconds=1.0))
        await site.until("start", 3)
        hung.send(signal.SIGSTOP)
        site.fault("worker SIGSTOP", hung, lasts=60.0)
        await site.start_worker("--concurrency", "10")
        await site.until("end", 6)  # all of them elsewhere: the hung one was adopted
        hung.send(signal.SIGCONT)
        await hung.says("online", times=2)  # a new life under a new id
        await site.send(bus, Work(key="last"))
    verdict = await site.settled()
    verdict.assert_sound()
    assert len(verdict.doubled) <= 3
    assert await hung.stop() == 0


@at_once
async def test_a_job_that_kills_its_worker_fails_and_takes_no_other_along(site: Site) -> None:
    await site.start_scheduler()
    async with site.cluster.bus() as bus:
        for number in range(5):
            await site.send(bus, Work(key=f"before-{number}"))
        await site.send(bus, Poison(key="poison"))
        for number in range(5):
            await site.send(bus, Work(key=f"after-{number}"))
        await _replace_workers_until(site, site.until("failed", 1), deaths=3)
        await site.until("end", 10)
        [record] = await site.cluster.failed_records(bus, 1)
    assert record["reason"] == "worker died while running it"
    kills = [line for line in site.events("start") if line["key"] == "poison"]
    assert [line["attempt"] for line in kills] == [1, 2, 3]
    assert all(line["attempt"] == 1 for line in site.events("end"))
    (await site.settled()).assert_sound()


@at_once
async def test_a_job_that_crashes_or_takes_all_memory_is_no_other_poison(site: Site) -> None:
    """Each is charged for its own deaths alone, though they wait in the same worker."""
    ways = {"segfault": signal.SIGSEGV, "memory": signal.SIGKILL}
    await site.start_scheduler()
    async with site.cluster.bus() as bus:
        for how in ways:
            await site.send(bus, Poison(key=how, how=how))
            await site.send(bus, Work(key=f"after-{how}"))
        # Not for `failed()`: who calls it after the record may be killed by the other one first.
        all_kept = asyncio.create_task(site.cluster.failed_records(bus, 2))
        codes = await _replace_workers_until(site, all_kept, deaths=2)
        records = await all_kept
        await site.cluster.ask_until(
            bus,
            "sizes",
            lambda sizes: sizes["default"]["parked"] + sizes["default"]["released"] == 0,
        )
    assert {record["reason"] for record in records} == {"worker died while running it"}
    for how, number in ways.items():
        kills = [line["attempt"] for line in site.events("start") if line["key"] == how]
        assert sorted(set(kills)) == [1, 2]
        assert len(kills) <= 3  # under load the very first death may go uncharged
        assert codes.count(-number) == len(kills)
    assert all(line["attempt"] == 1 for line in site.events("end"))
    verdict = await site.settled(within=5.0)  # all rows are over: nothing comes any more
    verdict.lost -= ways.keys()  # their records are there, and `failed()` is called at most once
    verdict.assert_sound()


async def _replace_workers_until(
    site: Site, waits: Coroutine[Any, Any, Any] | asyncio.Task[Any], deaths: int
) -> list[int]:
    """Start a worker whenever the last one died, until something is there; the exit codes."""
    codes: list[int] = []
    failed = asyncio.ensure_future(waits)
    while not failed.done():
        worker = await site.start_worker(
            "--concurrency",
            "1",
            "--prefetch",
            "20",
            "--max-deliveries",
            str(deaths),
            online=False,
        )
        dead = asyncio.create_task(worker.ended())
        await asyncio.wait({dead, failed}, return_when=asyncio.FIRST_COMPLETED)
        if dead.done():
            site.workers.remove(worker)
            codes.append(dead.result())
        dead.cancel()
    await failed
    return codes


@at_once
async def test_a_rolling_restart_neither_loses_nor_doubles(site: Site) -> None:
    await site.start_scheduler()
    for _ in range(3):
        await site.start_worker("--concurrency", "5")
    await site.start_producer("rolling", "--rate", "200", "--seconds", "0.05")
    await site.until("end", 50)
    for worker in list(site.workers):
        await site.start_worker("--concurrency", "5")
        await site.stop_worker(worker)
    await site.end_producers()
    verdict = await site.settled()
    verdict.assert_sound()
    assert not verdict.doubled


@at_once
async def test_a_worker_that_cannot_tell_how_its_job_ended_says_so(site: Site) -> None:
    """Its broker is away, and it was told to stop: exit code 1, which its supervisor passes on."""
    worker = await site.start_worker("--shutdown-timeout", "0", "--processes", "2")
    async with site.cluster.bus() as bus:
        await site.send(bus, Work(key="x", seconds=1.0))
        await site.until("start", 1)
        await site.stop_broker()
        await site.until("end", 1)
    assert await worker.stop() == 1
    assert "gave up on an outcome, the job runs again id=" in worker.output
