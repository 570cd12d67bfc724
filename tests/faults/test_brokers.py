"""Brokers that restart or are killed, networks that are cut, and a power cut."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time

import pytest

from tests.cluster.proxy import Liar, Proxy
from tests.faults.at_once import at_once
from tests.faults.clock import WallClock
from tests.faults.flapping import flap
from tests.faults.jobs import Work
from tests.faults.site import Site

LOAD = ("--rate", "150", "--seconds", "0.05")
_CLOCK_SET = "the system clock was set"


@at_once
async def test_a_broker_restart_under_load(site: Site) -> None:
    """Workers come back one after the other: the groups are empty meanwhile."""
    await site.start_scheduler()
    for _ in range(2):
        await site.start_worker("--concurrency", "5")
    await site.start_producer("plain", *LOAD)
    await site.start_producer("later", "--delayed", "0.5", "--failing", "0.2", *LOAD)
    for ended in (100, 400):
        await site.until("end", ended)
        for worker in site.workers:
            worker.send(signal.SIGSTOP)  # they come back a little later than everybody else
        await site.stop_broker()
        await site.cluster.start_broker()
        sent = site.count("sent")
        await site.until("sent", sent + 50)
        for worker in site.workers:
            worker.send(signal.SIGCONT)
    await site.end_producers()
    (await site.settled()).assert_sound()


@at_once
async def test_a_broker_is_killed_under_load(site: Site) -> None:
    """Stored jobs survive it everywhere; on the embedded broker with a database plain ones do."""
    await site.start_scheduler()
    for _ in range(2):
        await site.start_worker("--concurrency", "5")
    await site.start_producer("stored", "--confirm", "stored", *LOAD)
    await site.start_producer("stored-later", "--confirm", "stored", "--delayed", "1", *LOAD)
    if site.cluster.shares_queue:
        await site.start_producer("plain", *LOAD)
    for ended in (100, 300, 500):
        await site.until("end", ended)
        await site.stop_broker(signal.SIGKILL)
        await site.cluster.start_broker()
    await site.end_producers()
    (await site.settled()).assert_sound()


@pytest.mark.parametrize("way", ["half-open", "slow", "flapping"])
@at_once
async def test_the_network_is_cut_between_worker_and_broker(site: Site, way: str) -> None:
    proxy = Proxy(site.cluster.port)
    await proxy.start()
    await site.start_scheduler()
    cut = await site.start_worker("--concurrency", "5", url=proxy.url)
    await site.start_worker("--concurrency", "5")
    await site.start_producer("cut", *LOAD)
    await site.until("end", 50)
    if way == "half-open":
        site.fault("network half-open", cut, lasts=12.0)
        proxy.block()
        # Its share of these reaches nobody, until it is adopted or given away; then it comes back.
        await site.until("sent", site.count("sent") + 50)
        await _until_ended(site, {line["key"] for line in site.events("sent")})
        proxy.heal()
    elif way == "slow":
        site.fault("network slow")
        proxy.delay = 0.2
        await site.until("end", site.count("end") + 300)
        proxy.heal()
    else:
        await flap(site, proxy, cut, cuts=20)
    await site.end_producers()
    verdict = await site.settled()
    verdict.assert_sound()
    if way == "slow":
        assert not verdict.doubled
    await site.start_worker()
    await proxy.stop()


async def test_broker_and_scheduler_forget_who_is_there(site: Site) -> None:
    """A stored job that a worker runs meanwhile does not run twice: its worker comes back."""
    if site.cluster.shares_queue:
        pytest.skip("the embedded broker with a database forgets nobody")
    await site.start_scheduler()
    worker = await site.start_worker()
    async with site.cluster.bus() as bus:
        await bus.dispatch(Work(key="held", seconds=8.0), confirm="stored")
    await site.until("start", 1)
    worker.send(signal.SIGSTOP)  # it is back later than everybody else
    await site.stop_broker(signal.SIGKILL)
    await site.kill_scheduler()
    await site.cluster.start_broker()
    await site.start_scheduler()
    await site.start_worker()
    worker.send(signal.SIGCONT)
    await site.until("end", 1)
    async with site.cluster.bus() as bus:
        await site.cluster.ask_until(bus, "sizes", lambda sizes: not sizes)
    assert site.count("start") == site.count("end") == 1


@at_once
async def test_the_wall_clock_is_set_back_and_forth(site: Site) -> None:
    """Of every process but mosquitto: nothing is lost, nothing runs twice, nobody is given up."""
    clock = WallClock(site.cluster.folder)
    site.cluster.extra_env = clock.env
    if site.cluster.shares_queue:
        await site.cluster.restart_broker()
    await site.start_scheduler()
    scheduler = site.scheduler
    assert scheduler is not None
    for _ in range(2):
        await site.start_worker("--concurrency", "5")
    async with site.cluster.bus() as bus:
        await bus.later(1800.0, Work(key="in half an hour"))
        await bus.dispatch(Work(key="at a time"), run_at=time.time() + 1800.0)
        await site.start_producer("plain", *LOAD)
        await site.start_producer("later", "--delayed", "0.5", "--failing", "0.2", *LOAD)
        await site.until("end", 100)
        for ahead in (3600.0, -3600.0, 0.0):
            # Counted before, or the scheduler may be quicker than we look.
            told = sum(_CLOCK_SET in line for line in scheduler.lines)
            clock.set(ahead)
            await scheduler.says(_CLOCK_SET, told + 1)
            await site.until("end", site.count("end") + 300)
        await site.end_producers()
        verdict = await site.settled()
        verdict.assert_sound()
        assert not verdict.doubled
        keys = [line["key"] for line in site.events("end")]
        assert keys.count("at a time") == 1
        assert "in half an hour" not in keys
        sizes = await bus.requests.call("sizes")
        assert sizes["default"]["delayed"] == 1
    for word in ("adopting", "no heartbeat", "parked again", "no subscriber"):
        assert word not in scheduler.output


async def _until_ended(site: Site, keys: set[str]) -> None:
    async with asyncio.timeout(60):
        while keys - {line["key"] for line in site.events("end")}:
            await asyncio.sleep(0.05)


@at_once
async def test_a_power_cut_in_every_order(site: Site) -> None:
    """All at once, kill -9; then everything starts again, in every order one after the other."""
    stored = ("--confirm", "stored", "--rate", "100", "--seconds", "0.05", "--delayed", "0.3")
    everything = list(itertools.permutations(("broker", "scheduler", "worker", "producer")))
    await _start(site, ("scheduler", "worker", "producer"), 0, stored)
    for number, order in enumerate(everything[:: 3 if site.cluster.shares_queue else 4], 1):
        await site.until("end", site.count("end") + 20)
        await site.power_cut()
        await _start(site, order, number, stored)
    await site.end_producers()
    (await site.settled()).assert_sound()


async def _start(site: Site, order: tuple[str, ...], number: int, stored: tuple[str, ...]) -> None:
    for what in order:
        if what == "broker":
            await site.cluster.start_broker()
        elif what == "scheduler":
            await site.start_scheduler_soon()
        elif what == "worker":
            await site.start_worker("--concurrency", "5", online=False)
        else:
            await site.start_producer(f"cut-{number}", *stored)
            if site.cluster.shares_queue:
                await site.start_producer(f"plain-{number}", "--rate", "50")


async def test_a_broker_that_is_not_truthful(site: Site) -> None:
    """Success is what it says where nobody is subscribed, and groups are empty again and again."""
    if site.cluster.shares_queue:
        pytest.skip("the embedded broker keeps what nobody takes: there is nothing to lie about")
    liar = Liar(site.cluster.port)
    await liar.start()
    site.cluster.url = liar.url
    await site.start_scheduler()
    await site.start_producer("plain", "--rate", "150")
    for _ in range(2):
        await site.until("sent", site.count("sent") + 50)
        await site.start_worker()
        await site.until("end", site.count("sent"))
        await site.stop_worker(site.workers[0])
    await site.start_worker()
    await site.end_producers()
    verdict = await site.settled()
    verdict.assert_sound()
    assert not verdict.doubled
    assert liar.lies
    await liar.stop()
