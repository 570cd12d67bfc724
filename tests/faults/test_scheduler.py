"""The scheduler is killed at each of its steps, its disk is full, it is not alone."""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
import sys

import pytest

from tests.cluster.process import Process
from tests.faults.at_once import at_once
from tests.faults.scheduler import STEPS
from tests.faults.site import Site
from tests.faults.verdict import FORCED


@pytest.mark.parametrize("step", STEPS)
@at_once
async def test_the_scheduler_dies_at_a_step(site: Site, step: str) -> None:
    """Under a load that takes every way through it; chaos varies how often it comes there."""
    await site.start_scheduler()
    await site.start_producer("plain", "--rate", "100", "--seconds", "0.02")
    await site.start_producer("stored", "--confirm", "stored", "--rate", "50")
    await site.start_producer("later", "--delayed", "0.7", "--failing", "0.5", "--rate", "50")
    await site.start_worker("--concurrency", "5")
    await site.until("end", 20)
    await site.kill_scheduler()
    dying = await site.start_dying_scheduler(step, times=2)
    ended = asyncio.create_task(dying.ended())
    while not ended.done():
        # Each worker that dies brings the scheduler to its adoption.
        await site.start_worker("--concurrency", "5")
        await site.kill_worker(site.workers[0])
        await asyncio.wait({ended}, timeout=1.0)
    site.fault("scheduler kill -9")
    assert ended.result() == -signal.SIGKILL, dying.output
    await site.start_scheduler()
    await site.end_producers()
    (await site.settled()).assert_sound()


@at_once
async def test_a_full_disk_loses_nothing_and_is_told_loudly(site: Site) -> None:
    scheduler = await site.start_scheduler()
    await site.start_producer("later", "--delayed", "1", "--rate", "100")
    await site.start_producer("stored", "--confirm", "stored", "--rate", "50")
    await site.start_producer("plain", "--rate", "50")
    await site.start_worker()
    await site.until("end", 50)
    full = site.db.stat().st_size
    _, hard = resource.prlimit(scheduler.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(scheduler.pid, resource.RLIMIT_FSIZE, (full // 2, hard))
    site.fault("disk full")
    await scheduler.says("cannot commit, jobs wait at the broker")
    sent = site.count("sent")
    await site.until("sent", sent + 50)  # the broker keeps what is delayed; plain jobs run on
    assert scheduler.running
    resource.prlimit(scheduler.pid, resource.RLIMIT_FSIZE, (hard, hard))
    await site.end_producers()
    verdict = await site.settled()
    verdict.assert_sound()
    assert not verdict.doubled
    assert scheduler.running, scheduler.output


@at_once
async def test_two_schedulers_by_force_lose_nothing(site: Site) -> None:
    """Two with databases of their own, started at once: neither sees the other in time."""
    await site.start_worker()
    one, two = await asyncio.gather(*(_by_force(site, f"force-{n}.db") for n in range(2)))
    await site.start_producer("later", "--delayed", "1", "--rate", "100", "--count", "200")
    await site.start_producer("stored", "--confirm", "stored", "--rate", "50", "--count", "100")
    await site.start_producer("plain", "--rate", "50", "--count", "100")
    ends = [asyncio.create_task(process.ended()) for process in (one, two)]
    done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    assert len(done) == 1, one.output + two.output
    site.fault(FORCED, one, two)
    for producer in site.producers:
        await producer.ended()
    (await site.settled()).assert_sound()
    loser, winner = (one, two) if ends[0].done() else (two, one)
    assert "a scheduler runs on this bus already: host=" in loser.output
    assert f"pid={winner.pid}" in loser.output
    assert winner.running
    for end in ends:
        end.cancel()


@at_once
async def test_a_suspended_scheduler_leaves_to_a_copy_of_its_database(site: Site) -> None:
    """It took the live one's place when it woke, and ran again what that one had run."""
    suspended = await site.start_scheduler()
    await site.start_producer("stored", "--confirm", "stored", "--rate", "200", "--count", "40")
    await site.producers[0].ended()
    suspended.send(signal.SIGSTOP)
    for part in ("", "-wal"):
        shutil.copy(f"{site.db}{part}", site.cluster.folder / f"copy.db{part}")
    copy = await _by_force(site, "copy.db", force=False)
    await copy.says("online")
    await site.start_worker()
    await site.until("end", 40)
    suspended.send(signal.SIGCONT)
    assert await suspended.ended() == 4
    assert "another scheduler uses a newer copy of --db=" in suspended.output
    verdict = await site.settled()
    verdict.assert_sound()
    assert not verdict.doubled


async def _by_force(site: Site, db: str, *, force: bool = True) -> Process:
    process = await Process.start(
        "scheduler", sys.executable, "-m", "tests.faults.scheduler", str(site.cluster.folder / db),
        *(["force"] if force else []), env=site.env,
    )  # fmt: skip
    site.cluster.processes.append(process)
    return process
