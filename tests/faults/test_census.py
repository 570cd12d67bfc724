"""What waits in a broker is somewhere, whoever comes and goes."""

from __future__ import annotations

import asyncio

from tests.faults.at_once import at_once
from tests.faults.jobs import Work
from tests.faults.site import Site

_JOBS = 400


@at_once
async def test_rows_that_wait_in_the_broker_are_not_sent_again(site: Site) -> None:
    """The scheduler restarts politely, and a worker of another queue dies: nothing ran there."""
    scheduler = await site.start_scheduler()
    async with site.cluster.bus() as bus:
        jobs = [Work(key=str(number), seconds=0.02) for number in range(_JOBS)]
        await asyncio.gather(*(bus.dispatch(job, confirm="stored") for job in jobs))
    await site.start_worker("--concurrency", "2")
    for number in (20, 120):
        await site.until("end", number)
        await scheduler.stop()
        scheduler = await site.start_scheduler()
    other = await site.start_worker(queues="other")
    await site.until("end", 200)
    await site.kill_worker(other)
    await site.until("end", _JOBS)
    async with site.cluster.bus() as bus:
        await bus.dispatch(Work(key="last"), confirm="stored")
    await site.until("end", _JOBS + 1)
    keys = [str(line["key"]) for line in site.events("start")]
    assert sorted(key for key in set(keys) if keys.count(key) > 1) == []
    assert len(set(keys)) == _JOBS + 1
