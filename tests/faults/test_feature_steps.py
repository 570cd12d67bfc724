"""The scheduler dies at each step of what it keeps for jobs, again and again; nothing else does.

All features go through the same steps, so they share one line of schedulers: whoever dies is
followed by one that dies at the next step. No worker dies: whatever runs twice is a fault.
"""

from __future__ import annotations

import asyncio
from typing import Any

from routeq_mqtt import Bus, batch, chain
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.process import Process
from tests.faults.test_features import insist
from tests.features.jobs import Install, Latest, OneWaits, Part, PerDevice, Rated, Seldom, Step
from tests.features.result_jobs import Adds
from tests.features.test_flows import over

APPS = ("--app", "tests.features.jobs", "--app", "tests.features.result_jobs")

STEPS = ("admitted", "granted", "released", "published", "before commit;2", "after commit;2")


async def dies(scheduler: Process) -> None:
    await scheduler.ended()
    assert "dies at: " in scheduler.output, scheduler.output


async def device(cluster: Cluster) -> Process:
    flags = ("--name", "gateway-1", "--concurrency", "50")
    return await cluster.worker("default,quiet", *APPS, *flags, ROUTEQ_TEST_DEVICE="gateway-1")


async def test_jobs_run_once_whichever_step_the_scheduler_dies_at(cluster: Cluster) -> None:
    scheduler = await cluster.dying_scheduler(STEPS[0])
    await scheduler.says("online")
    await device(cluster)
    cluster.recorder.open("u may end")
    async with cluster.bus(timeout=60.0) as bus:
        asked = asyncio.create_task(_dispatch_all(bus))
        for step in STEPS[1:]:
            await dies(scheduler)
            scheduler = await cluster.dying_scheduler(step)
        await dies(scheduler)
        await cluster.scheduler()
        await asked
        once = {"u", "s", "chain 1", "chain 2", "chain 3", "part 1", "part 2", "then", "finally"}
        once |= {"d0", "d1", "d2", "rated", "later", "gateway-1", "the last"}
        once |= {"catch", "finally after catch"}
        await cluster.recorder.wait(lambda: cluster.recorder.ran().keys() >= once)
        await cluster.ask_until(
            bus, "sizes",
            lambda sizes: not any(s["parked"] + s["released"] for s in sizes.values()),
        )  # fmt: skip
        sizes = await bus.requests.call("sizes")
        assert sum(size["held"] for size in sizes.values()) == 1  # `then` of the failed batch
    assert cluster.recorder.ran() == dict.fromkeys(once, 1)
    order = [event["key"] for event in cluster.recorder.named("ran")]
    assert order.index("chain 1") < order.index("chain 2") < order.index("chain 3")
    assert max(order.index("part 1"), order.index("part 2")) < order.index("then")


async def _dispatch_all(bus: Bus) -> None:
    """At once, so that one death is in the way of all of them."""
    parts = batch([Step(key="part 1"), Step(key="part 2")])
    fails = batch([Part(key="never", fails=True)]).then(Step(key="never")).catch(Step(key="catch"))
    sum_ = asyncio.create_task(bus.dispatch(Adds(a=1, b=2), confirm="stored"))
    twins = asyncio.gather(
        bus.bulk([OneWaits(key="u"), OneWaits(key="u")]),
        bus.bulk([Seldom(key="s"), Seldom(key="s")]),
        bus.bulk([Latest(page=1, text="dropped"), Latest(page=1, text="the last")]),
    )
    await asyncio.gather(
        bus.bulk(PerDevice(device="A", key=f"d{number}") for number in range(3)),
        bus.dispatch(Rated(key="rated")),
        bus.dispatch(Report(key="later"), delay=0.5, confirm="stored"),
        bus.dispatch(Install(), to="gateway-1"),
        chain(*(Step(key=f"chain {number}") for number in (1, 2, 3))).dispatch(bus),
        parts.then(Step(key="then")).finally_(Step(key="finally")).dispatch(bus),
        fails.finally_(Step(key="finally after catch")).dispatch(bus),
    )
    for ids in await twins:
        assert len(set(ids)) == 1
    ticket = await sum_
    assert await insist(lambda: ticket.result(timeout=60.0)) == 3


async def test_orders_are_obeyed_whichever_step_the_scheduler_dies_at(cluster: Cluster) -> None:
    first = await cluster.scheduler()
    worker = await device(cluster)
    async with cluster.bus(timeout=60.0) as bus:
        runs = await bus.dispatch(Step(key="never", gate="never"), confirm="stored")
        later = await bus.dispatch(Report(key="never"), delay=3600, confirm="stored")
        await bus.bulk([Report(key="never") for _ in range(3)], "rubbish", confirm="stored")
        whole = await (
            batch(Step(key="never", gate="never") for _ in range(2))
            .then(Report(key="never"))
            .finally_(Report(key="finally"))
            .dispatch(bus)
        )
        await cluster.recorder.count("waits", 3)
        await first.stop()

        await _ordered(cluster, bus, "ordered", "queue.pause", queue="quiet")
        await worker.says("paused quiet: yes")
        await _ordered(cluster, bus, "cancelled", "cancel", ids=[later.id])
        await _ordered(cluster, bus, "ordered", "worker.drain", worker="gateway-1")
        await worker.says("drained gateway-1: yes")
        await _ordered(cluster, bus, "purged", "queue.purge", queue="rubbish")
        await _ordered(cluster, bus, "withdrawn", "worker.undrain", worker="gateway-1")
        await worker.says("drained gateway-1: no")
        await _ordered(cluster, bus, "obeyed", "cancel", ids=[runs.id])
        await _ordered(cluster, bus, "batch called off", "batch.cancel", id=whole.id)

        await cluster.scheduler()
        await insist(lambda: bus.dispatch(Report(key="quiet"), queue="quiet", confirm="stored"))
        await bus.dispatch(Report(key="other"))
        await cluster.recorder.wait(lambda: cluster.recorder.ran().keys() >= {"other", "finally"})
        assert "quiet" not in cluster.recorder.ran()
        await bus.resume("quiet")
        await cluster.recorder.wait(lambda: "quiet" in cluster.recorder.ran())
        progress = await over(whole)
        assert (progress.cancelled, progress.called_off) == (2, True)
        await cluster.ask_until(bus, "sizes", lambda sizes: "rubbish" not in sizes)
        assert await bus.cancel(later) == await bus.cancel(runs) == "over"
    assert cluster.recorder.ran() == {"other": 1, "finally": 1, "quiet": 1}


async def _ordered(cluster: Cluster, bus: Bus, step: str, method: str, **args: Any) -> None:
    """Ask a scheduler that dies over it, and the next one again."""
    succession = await cluster.succession(await cluster.dying_scheduler(step))
    await insist(lambda: bus.requests.call(method, timeout=0.5, **args))
    await (await succession).stop()
