"""All that the scheduler keeps for jobs is at work at once, while worker, scheduler, broker die.

One scenario for all of it: each feature holds, none disturbs another, and it takes one set of
processes. What a feature does when nothing dies is in `tests/features`, and so are the deaths of
the scheduler at each of its steps.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from routeq_mqtt import Bus, RouteqError, batch, chain
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.process import Process
from tests.features.jobs import Install, LatestMuchLater, OneAtATime, PerDevice, Seldom, Step
from tests.features.result_jobs import AddsLater
from tests.features.test_devices import known, over
from tests.features.test_flows import over as batch_over

APPS = ("tests.features.jobs", "tests.features.result_jobs", "tests.features.ticking")
HELD = {"chain 1", "part 1", "part 2", "u", "d0", "gateway-1", "never"}
"""What runs, at its gate, while things die."""


class Work:
    """All features at work on one bed."""

    def __init__(self, cluster: Cluster, bus: Bus) -> None:
        self.cluster = cluster
        self.bus = bus
        self.killed: set[int] = set()
        self.ids: dict[str, str] = {}

    async def start(self) -> None:
        self.scheduler = await self.cluster.scheduler()
        self.one = await self.worker("gateway-1", "default,rubbish,quiet")
        self.two = await self.worker("gateway-2", "default")
        self.press = await self.worker("press", "pressing")
        await known(self.cluster, self.bus, "gateway-1", "gateway-2", "press")
        await self._jobs()
        await self._orders()
        await self._rollouts()
        await self.cluster.recorder.wait(lambda: self.cluster.recorder.ran("waits").keys() >= HELD)

    async def worker(self, name: str, queues: str) -> Process:
        apps = [flag for app in APPS for flag in ("--app", app)]
        tags = ("--tag", "kind=gateway") if name.startswith("gateway") else ()
        return await self.cluster.worker(
            queues, *apps, "--name", name, *tags, ROUTEQ_TEST_DEVICE=name
        )

    async def _jobs(self) -> None:
        bus = self.bus
        await chain(
            Step(key="chain 1", gate="go"), Step(key="chain 2"), Step(key="chain 3")
        ).dispatch(bus)
        parts = [Step(key="part 1", gate="go"), Step(key="part 2", gate="go")]
        self.batch = await (
            batch(parts)
            .then(Step(key="then"))
            .catch(Step(key="catch"))
            .finally_(Step(key="finally"))
            .dispatch(bus)
        )
        self.ids["unique"] = (await bus.dispatch(OneAtATime(key="u"))).id
        self.ids["throttled"] = (await bus.dispatch(Seldom(key="s"))).id
        self.ids["debounced"] = (await bus.dispatch(LatestMuchLater(page=1, text="first"))).id
        sum_ = await bus.dispatch(AddsLater(a=1, b=2, gate="go"), confirm="stored")
        self.sum = asyncio.create_task(sum_.result(timeout=90.0))
        for number in range(3):
            gate = "go" if number == 0 else None
            await bus.dispatch(PerDevice(device="A", key=f"d{number}", gate=gate))
        await self.cluster.recorder.wait(lambda: "s" in self.cluster.recorder.ran())

    async def _orders(self) -> None:
        bus = self.bus
        await bus.pause("quiet")
        await bus.bulk([Report(key="quiet 1"), Report(key="quiet 2")], "quiet", confirm="stored")
        await bus.pause("rubbish")
        await bus.bulk([Report(key="rubbish") for _ in range(3)], "rubbish", confirm="stored")
        await bus.dispatch(Report(key="rubbish"), queue="rubbish", delay=1, confirm="stored")
        assert await bus.purge("rubbish") == 4
        later = await bus.dispatch(Report(key="never"), delay=2, confirm="stored")
        assert await bus.cancel(later) == "cancelled"
        runs = await bus.dispatch(Step(key="never", gate="go"), queue="pressing", confirm="stored")
        await self.cluster.recorder.wait(lambda: "never" in self.cluster.recorder.ran("waits"))
        self.press.send(signal.SIGSTOP)  # it hears of none of this before it dies
        assert await bus.cancel(runs) == "asked"
        await bus.drain("press")
        await bus.dispatch(Report(key="pressed"), queue="pressing", confirm="stored")

    async def _rollouts(self) -> None:
        bus, where = self.bus, {"kind": "gateway"}
        bad = Install(fails_on="gateway-1")
        self.aborted = await bus.broadcast(bad, where=where, rate=(1, 3600), abort_after=1)
        while (await self.aborted.progress()).aborted_at is None:
            pass
        self.rollout = await bus.broadcast(Install(gate="go"), where=where, rate=(1, 4))

    # -- what dies -----------------------------------------------------------------------------

    async def kill_workers(self) -> None:
        for worker in (self.one, self.two, self.press):
            self.killed.add(worker.pid)
            await worker.kill()
        self.one = await self.worker("gateway-1", "default,rubbish,quiet")
        self.two = await self.worker("gateway-2", "default")
        self.press = await self.worker("press", "pressing")

    async def kill_scheduler(self) -> None:
        await self.scheduler.kill()
        self.scheduler = await self.cluster.scheduler()

    async def kill_broker(self) -> None:
        await self.cluster.restart_broker(signal.SIGKILL)

    async def still_decides(self, after: str) -> None:
        """Nothing is forgotten of jobs that are, or were, there."""
        for what, job in (
            ("unique", OneAtATime(key="u", note=after)),
            ("throttled", Seldom(key="s")),
            ("debounced", LatestMuchLater(page=1, text=after)),
        ):
            assert await insist(lambda job=job: self.bus.dispatch(job)) == self.ids[what], what  # type: ignore[misc]


async def insist(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until there is an answer: scheduler and broker are on their way back."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await ask()
            except RouteqError:
                continue


@asynccontextmanager
async def at_work(cluster: Cluster) -> AsyncIterator[Work]:
    async with cluster.bus(timeout=30.0) as bus:
        work = Work(cluster, bus)
        await work.start()
        yield work
        work.sum.cancel()


async def test_all_features_hold_while_worker_scheduler_and_broker_are_killed(
    cluster: Cluster,
) -> None:
    async with at_work(cluster) as work:
        bus, recorder = work.bus, cluster.recorder
        await work.still_decides("nothing")
        await work.kill_workers()
        await work.still_decides("the workers")
        await work.kill_scheduler()
        await work.still_decides("the scheduler")
        await work.kill_broker()
        await work.still_decides("the broker")
        seen = recorder.ran()
        assert not {"then", "finally", "chain 2", "d1", "quiet 1", "pressed"} & seen.keys()

        recorder.open("go")
        recorder.open("u may end")
        done = await batch_over(work.batch)
        assert (done.total, done.done) == (2, 2)
        assert await work.sum == 3
        progress = await over(work.rollout)
        assert (progress.total, progress.done) == (2, 2)
        aborted = await work.aborted.progress()
        assert (aborted.failed, aborted.cancelled, aborted.done) == (1, 1, 0)
        assert aborted.aborted_at is not None
        wanted = {"chain 3", "then", "finally", "u", "d0", "d1", "d2"}
        await recorder.wait(lambda: recorder.ran().keys() >= wanted)
        assert not {"quiet 1", "quiet 2", "pressed"} & recorder.ran().keys()

        code, shown = await cluster.cli("queues", "--json")
        assert code == 0
        assert {one["queue"]: one["paused"] for one in json.loads(shown)}["quiet"]
        await bus.undrain("press")
        await bus.resume("quiet")
        await bus.resume("rubbish")
        await bus.dispatch(Report(key="after the rubbish"), queue="rubbish")
        last = {"pressed", "quiet 1", "quiet 2", "after the rubbish"}
        await recorder.wait(lambda: recorder.ran().keys() >= last)
    _judge(cluster, work)


def _judge(cluster: Cluster, work: Work) -> None:
    ran = cluster.recorder.ran()
    assert not {"never", "rubbish", "catch"} & ran.keys()
    once = {"then", "finally", "chain 1", "chain 2", "chain 3", "part 1", "part 2", "u", "s"}
    once |= {"d0", "d1", "d2", "quiet 1", "quiet 2", "pressed", "after the rubbish"}
    assert {key: ran[key] for key in once} == dict.fromkeys(once, 1)
    order = [event["key"] for event in cluster.recorder.named("ran")]
    assert order.index("chain 1") < order.index("chain 2") < order.index("chain 3")
    assert max(order.index("part 1"), order.index("part 2")) < order.index("then")
    installed = Counter(
        event["id"] for event in cluster.recorder.named("ran") if "@" in event["id"]
    )
    rolled_out = {work.rollout.job_id(name): 1 for name in ("gateway-1", "gateway-2")}
    ours = {job_id: n for job_id, n in installed.items() if not job_id.startswith("Pulse@")}
    assert ours == rolled_out
    # A worker may have died between a tick's job and its PUBACK.
    ticks = Counter(
        event["key"]
        for event in cluster.recorder.named("ran")
        if event["id"].startswith("Pulse@") and event["pid"] not in work.killed
    )
    assert set(ticks.values()) == {1}
    with sqlite3.connect(cluster.folder / "routeq.db") as db:
        [(envelope,)] = db.execute(
            "SELECT envelope FROM jobs WHERE id = ? AND state = 'delayed'", (work.ids["debounced"],)
        )
    assert b"the broker" in envelope
