"""A worker dies while it gives jobs back: at every step nothing is lost and nothing runs twice."""

from __future__ import annotations

import sys

import pytest

from tests.bed.bed import Bed
from tests.bed.jobs import Gated, Report
from tests.bed.process import Process


async def _dying_worker(bed: Bed, step: str) -> Process:
    program = "tests.sharing.programs.dying_worker"
    process = await Process.start("dying", sys.executable, "-m", program, step, env=bed.env)
    bed.processes.append(process)
    await process.says("online")
    return process


@pytest.mark.parametrize("step", ["giving back", "given back", "acknowledged"])
async def test_a_worker_that_dies_while_it_gives_back(bed: Bed, step: str) -> None:
    await bed.scheduler()
    dying = await _dying_worker(bed, step)
    async with bed.bus() as bus:
        await bus.dispatch(Gated(key="long", gate="go"))
        await bed.recorder.count("waits", 1)
        await bus.bulk([Report(key=str(number)) for number in range(12)])
        await bed.worker("default", "--concurrency", "2")
        if bed.shares_queue:  # there, giving back is one packet: before it or after it
            await bed.recorder.count("ran", 12)
            await dying.kill()
        else:
            assert await dying.ended() == 9
        # The long one comes back as its second attempt; it is not yet over when all others are.
        await bed.recorder.count("ran", 12)
        await bed.recorder.count("waits", 2)
        bed.recorder.open("go")
        await bed.recorder.wait(lambda: "long" in bed.recorder.ran())
        await bed.ask_until(bus, "sizes", lambda sizes: not any(sizes.get("default", {}).values()))
    assert bed.recorder.ran() == {"long": 1} | {str(number): 1 for number in range(12)}


async def test_a_scheduler_that_dies_with_jobs_on_their_way_back_finds_them(bed: Bed) -> None:
    scheduler = await bed.scheduler()
    await bed.worker("default", "--concurrency", "1", "--prefetch", "50")
    async with bed.bus() as bus:
        await bus.dispatch(Gated(key="long", gate="go"))
        await bed.recorder.count("waits", 1)
        await bus.bulk([Report(key=str(number)) for number in range(50)])
        await bed.worker("default", "--concurrency", "1")
        if not bed.shares_queue:
            await scheduler.says("asked to share")
        await scheduler.kill()
        await bed.scheduler()
        await bed.recorder.count("ran", 50)
        bed.recorder.open("go")
        await bed.recorder.count("ran", 51)
    assert set(bed.recorder.ran().values()) == {1}
