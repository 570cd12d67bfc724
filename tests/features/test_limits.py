"""Limits over the whole fleet, on both brokers, and when things die meanwhile."""

from __future__ import annotations

import json
import signal

from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.process import Process
from tests.features.jobs import PerDevice, Rated

APP = ("--app", "tests.features.jobs")


def overlaps(cluster: Cluster) -> list[str]:
    """Jobs that began while another one of their device had begun and not ended."""
    running: dict[str, str] = {}
    wrong = []
    for event in cluster.recorder.events:
        device = str(event.get("device"))
        if event["event"] == "began":
            if device in running:
                wrong.append(f"{event['key']} beside {running[device]}")
            running[device] = event["key"]
        elif event["event"] == "ran":
            running.pop(device, None)
    return wrong


async def test_one_per_device_over_the_whole_fleet(cluster: Cluster) -> None:
    await cluster.scheduler()
    for _ in range(2):
        await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        await bus.dispatch(PerDevice(device="A", key="A0", gate="A"))
        await cluster.recorder.count("waits", 1)
        await bus.bulk(PerDevice(device="A", key=f"A{n}") for n in range(1, 10))
        await bus.bulk(PerDevice(device="B", key=f"B{n}") for n in range(10))
        await cluster.recorder.count("ran", 10)  # device B is not kept waiting
        assert (await bus.size("default")).held == 9
        cluster.recorder.open("A")
        await cluster.recorder.count("ran", 20)
    assert not overlaps(cluster)
    assert set(cluster.recorder.ran().values()) == {1}


async def test_a_rate_is_kept_over_workers_and_a_restart_of_the_scheduler(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    for _ in range(2):
        await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        await bus.bulk(Rated(key=str(n)) for n in range(10))
        await cluster.recorder.count("ran", 3)
        await scheduler.kill()
        await cluster.scheduler()
        await bus.dispatch(Report(key="plain jobs go on"), confirm="stored")
        await cluster.recorder.count("ran", 4)
        sizes = await cluster.ask_until(bus, "sizes", lambda s: not s["default"]["released"])
        assert sizes["default"]["limited"] == 7
    assert len(cluster.recorder.ran()) == 4


async def test_what_a_device_sends_is_limited_too(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    for number in range(5):
        message = {"job": "Rated", "data": {"key": str(number)}}
        device = await Process.start(
            f"device-{number}", "mosquitto_pub", "-p", str(cluster.port), "-q", "1",
            "-t", "$queue/default", "-m", json.dumps(message),
        )  # fmt: skip
        assert await device.ended() == 0, device.output
    async with cluster.bus() as bus:
        await cluster.recorder.count("ran", 3)
        await cluster.ask_until(bus, "sizes", lambda s: s["default"]["limited"] == 2)
    assert len(cluster.recorder.ran()) == 3


async def test_a_limit_holds_whatever_is_killed(cluster: Cluster) -> None:
    """Worker, scheduler and broker, each while a job holds the only slot."""
    scheduler = await cluster.scheduler()
    worker = await cluster.worker("default", *APP)
    async with cluster.bus(timeout=30.0) as bus:
        await bus.bulk(
            PerDevice(device="A", key=f"A{n}", gate="go" if n == 0 else None) for n in range(5)
        )
        await cluster.recorder.count("waits", 1)
        await scheduler.kill()
        await cluster.scheduler()
        await cluster.restart_broker(signal.SIGKILL)
        await worker.kill()
        await cluster.worker("default", *APP)
        await cluster.recorder.wait(lambda: len(cluster.recorder.named("began")) >= 2)
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 5)
        await cluster.ask_until(bus, "sizes", lambda sizes: "default" not in sizes)  # nothing left
    assert set(cluster.recorder.ran().values()) == {1}
    # The one whose worker was killed begins again, or lets another one go first; never beside it.
    alive = [event for event in cluster.recorder.events if event["pid"] != worker.pid]
    cluster.recorder.events = alive
    assert not overlaps(cluster)
