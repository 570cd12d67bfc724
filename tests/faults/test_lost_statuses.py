"""Workers whose retained status is gone: their sessions are members of the group all the same."""

from __future__ import annotations

import asyncio

from tests.cluster.retained import clear_when
from tests.faults.at_once import at_once
from tests.faults.jobs import Work
from tests.faults.site import Site


@at_once
async def test_a_dead_worker_without_a_status_keeps_no_job(site: Site) -> None:
    """The scheduler starts after the status is gone: only its database knows the sessions."""
    await site.start_scheduler()
    first = await site.start_worker("--concurrency", "1")
    async with site.cluster.bus() as bus:
        await site.send(bus, Work(key="running", seconds=60.0))
        await site.until("start", 1)
        await site.kill_scheduler()
        await site.kill_worker(first)
        await clear_when(site.cluster.url, "routeq/workers/+", b'"lost"')
        await site.start_worker("--concurrency", "10")
        for number in range(20):
            await site.send(bus, Work(key=f"job-{number}", seconds=0.01))
        await site.start_scheduler()
        await site.until("end", 20, within=45.0)


@at_once
async def test_a_live_worker_whose_status_was_cleared_goes_on(site: Site) -> None:
    scheduler = await site.start_scheduler()
    await site.start_worker("--concurrency", "10")
    await clear_when(site.cluster.url, "routeq/workers/+", b'"online"')
    async with site.cluster.bus() as bus:
        for number in range(15):
            await site.send(bus, Work(key=f"job-{number}", seconds=0.01))
            await asyncio.sleep(1.0)  # longer than an unowned session is spared
    verdict = await site.settled()
    verdict.assert_sound()
    assert not verdict.doubled
    assert "adopting worker" not in scheduler.output
