"""Jobs for named devices, broadcasts and rollouts: on both brokers, and when things die."""

from __future__ import annotations

import asyncio
import json
import signal
import time

import pytest

from routeq_mqtt import (
    Bus,
    ConfigurationError,
    RequestFailed,
    Rollout,
    RolloutProgress,
    SyncBus,
)
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.worker.options import WorkerOptions
from tests.cluster.cluster import Cluster
from tests.cluster.process import Process
from tests.cluster.recorder import TIMEOUT
from tests.features.jobs import Install, OneAtATime

KEYS = {"ROUTEQ_SIGNING_KEYS": f"k1:{'s' * 40}"}


async def device(cluster: Cluster, name: str, *tags: str, **env: str) -> Process:
    flags = [flag for tag in tags for flag in ("--tag", tag)]
    return await cluster.worker(
        "default", "--app", "tests.features.jobs", "--name", name, *flags,
        ROUTEQ_TEST_DEVICE=name, **env,
    )  # fmt: skip


async def known(cluster: Cluster, bus: Bus, *names: str) -> None:
    """The scheduler has written down these devices."""
    await cluster.ask_until(
        bus, "device.list", lambda found: {d["name"] for d in found} >= set(names)
    )


async def stopped(worker: Process) -> None:
    worker.send(signal.SIGTERM)
    await worker.ended()


async def over(handle: Rollout) -> RolloutProgress:
    async with asyncio.timeout(TIMEOUT):
        while (progress := await handle.progress()).finished_at is None:
            pass
    return progress


async def test_a_job_is_held_until_its_device_is_there(cluster: Cluster) -> None:
    await cluster.scheduler()
    await device(cluster, "gateway-1")
    async with cluster.bus() as bus:
        job_id = await bus.dispatch(Install(), to="gateway-17")
        assert (await bus.size("@gateway-17")).parked == 1
        await bus.dispatch(Install(), to="gateway-1")
        await cluster.recorder.count("ran", 1)
        first = await device(cluster, "gateway-17")
        await cluster.recorder.count("ran", 2)
        assert cluster.recorder.ran() == {"gateway-1": 1, "gateway-17": 1}
        assert cluster.recorder.named("ran")[1]["id"] == job_id
        await stopped(first)
        code, output = await cluster.cli("dispatch", "Install", "--to", "gateway-17")
        assert code == 0, output
        assert (await bus.size("@gateway-17")).parked == 1
        await device(cluster, "gateway-17")
        await cluster.recorder.count("ran", 3)
    assert cluster.recorder.ran() == {"gateway-1": 1, "gateway-17": 2}


async def test_a_device_that_is_killed_runs_its_job_when_it_is_back(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await device(cluster, "gateway-17")
    await device(cluster, "gateway-1")
    async with cluster.bus() as bus:
        await bus.dispatch(Install(gate="go"), to="gateway-17")
        await cluster.recorder.count("waits", 1)
        await worker.kill()
        await cluster.restart_broker(signal.SIGKILL)
        await device(cluster, "gateway-17")
        await cluster.recorder.count("waits", 2)
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 1)
    assert cluster.recorder.ran() == {"gateway-17": 1}


async def test_a_job_expires_in_time_while_its_device_is_away(cluster: Cluster) -> None:
    await cluster.scheduler()
    async with cluster.bus() as bus:
        late = await bus.dispatch(Install(), to="gateway-17", expires_at=time.time() + 0.5)
        early = await bus.dispatch(
            Install(), to="gateway-17", delay=3600, expires_at=time.time() + 0.6
        )
        kept = await bus.dispatch(Install(), to="gateway-17", expires_at=time.time() + 3600)
        records = await cluster.failed_records(bus, 2)
        assert {(one["id"], one["reason"]) for one in records} == {
            (late, "expired"), (early, "expired"),
        }  # fmt: skip
        assert (await bus.size("@gateway-17")).parked == 1
        await device(cluster, "gateway-17")
        await cluster.recorder.count("ran", 1)
    assert [event["id"] for event in cluster.recorder.named("ran")] == [kept]


async def test_devices_are_remembered_with_their_tags(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    worker = await device(cluster, "gateway-17", "site=north", "arch=armv7")
    async with cluster.bus() as bus:
        await known(cluster, bus, "gateway-17")
        await stopped(worker)
        await cluster.ask_until(bus, "device.list", lambda found: not found[0]["online"])
        await scheduler.kill()
        await cluster.scheduler()
        code, output = await cluster.cli("devices", "--json")
        [shown] = json.loads(output)
        assert (code, shown["name"], shown["online"]) == (0, "gateway-17", False)
        assert shown["tags"] == {"site": "north", "arch": "armv7"}
        code, output = await cluster.cli("devices")
        assert "arch=armv7 site=north" in output
        code, output = await cluster.cli("devices", "--forget", "gateway-17")
        assert (code, await bus.devices()) == (0, [])


@pytest.mark.parametrize("env", [{}, KEYS], ids=["", "signed"])
async def test_a_broadcast_reaches_every_device_of_its_kind(
    cluster: Cluster, env: dict[str, str]
) -> None:
    await cluster.scheduler(**env)
    away = await device(cluster, "gateway-2", "site=north", **env)
    await device(cluster, "gateway-1", "site=north", **env)
    await device(cluster, "gateway-3", "site=south", **env)
    async with cluster.bus(signing_keys=env.get("ROUTEQ_SIGNING_KEYS")) as bus:
        await known(cluster, bus, "gateway-1", "gateway-2", "gateway-3")
        await stopped(away)
        handle = await bus.broadcast(Install(), where={"site": "north"})
        await cluster.recorder.count("ran", 1)
        await cluster.ask_until(
            bus, "rollout.show", lambda shown: shown["pending"] == 1, id=handle.id
        )
        progress = await handle.progress()
        assert (progress.total, progress.done, progress.waiting) == (2, 1, 1)
        await device(cluster, "gateway-2", "site=north", **env)
        progress = await over(bus.rollout(handle.id))
        assert (progress.total, progress.done, progress.name) == (2, 2, "Install")
        assert {event["id"] for event in cluster.recorder.named("ran")} == {
            handle.job_id("gateway-1"), handle.job_id("gateway-2"),
        }  # fmt: skip
        code, output = await cluster.cli("rollout", handle.id)
        assert (code, "2 devices: 0 waiting, 0 running, 2 done" in output) == (0, True)
        assert (await (await bus.broadcast(Install(), where={"site": "x"})).progress()).total == 0
        with pytest.raises(RequestFailed, match=r"no broadcast has the id 'none'$"):
            await bus.rollout("none").progress()
    assert cluster.recorder.ran() == {"gateway-1": 1, "gateway-2": 1}


async def test_a_broadcast_expires_where_the_device_stays_away(cluster: Cluster) -> None:
    await cluster.scheduler()
    await stopped(await device(cluster, "gateway-2"))
    await device(cluster, "gateway-1")
    async with cluster.bus() as bus:
        await known(cluster, bus, "gateway-1", "gateway-2")
        progress = await over(await bus.broadcast(Install(), expires_in=3.0))
        assert (progress.total, progress.done, progress.failed) == (2, 1, 1)
        [record] = await cluster.failed_records(bus, 1)
        assert (record["queue"], record["reason"]) == ("@gateway-2", "expired")


async def test_a_broadcast_without_a_class_or_an_event_loop(cluster: Cluster) -> None:
    """From the command line, and from a program that blocks."""
    await cluster.scheduler()
    await device(cluster, "gateway-1", "site=north")
    await device(cluster, "gateway-2", "site=south")
    async with cluster.bus() as bus:
        await known(cluster, bus, "gateway-1", "gateway-2")
        code, output = await cluster.cli(
            "broadcast", "Install", "--where", "site=north", "--rate", "10/m", "--abort-after",
            "1", "--expires-in", "60", "--json",
        )  # fmt: skip
        assert code == 0, output
        made = json.loads(output)
        progress = await over(bus.rollout(made["id"]))
        assert (made["job"], progress.total, progress.done) == ("Install", 1, 1)
        code, output = await cluster.cli("broadcast", "Install", "--where", "site=x")
        assert (code, "no device gets it: none that is known has these" in output) == (0, True)
        code, output = await cluster.cli("broadcast", "Install", "--rate", "ten")
        assert (code, "--rate='ten' is not a rate" in output) == (4, True)

        def program() -> str:
            with SyncBus(settings=Settings(url=cluster.url)) as blocking:
                assert len(blocking.devices()) == 2
                blocking.limit_queue("other", (1, 3600))
                assert blocking.size("other").rate == (1.0, 3600.0)
                blocking.limit_queue("other", None)
                blocking.pause("other")
                blocking.resume("other")
                handle = blocking.broadcast(Install(), where={"site": "south"})
                assert blocking.rollout_progress(handle.id).total == 1
                return handle.id

        await over(bus.rollout(await asyncio.to_thread(program)))
    assert cluster.recorder.ran() == {"gateway-1": 1, "gateway-2": 1}


@pytest.mark.parametrize(
    "step", ["broadcast: before commit", "broadcast: after commit", "released;2", "published"]
)
async def test_a_broadcast_is_made_once_wherever_the_scheduler_dies(
    cluster: Cluster, step: str
) -> None:
    succession = await cluster.succession(await cluster.dying_scheduler(step))
    names = ["gateway-1", "gateway-2", "gateway-3"]
    for name in names:
        await device(cluster, name)
    async with cluster.bus(timeout=30.0) as bus:
        await known(cluster, bus, *names)
        handle = await bus.broadcast(Install())
        await succession
        progress = await over(handle)
        assert (progress.total, progress.done) == (3, 3)
    assert cluster.recorder.ran() == dict.fromkeys(names, 1)


@pytest.mark.parametrize("step", ["rollout: before commit;2", "rollout: after commit;2"])
async def test_a_rollout_goes_on_where_the_scheduler_died(cluster: Cluster, step: str) -> None:
    succession = await cluster.succession(await cluster.dying_scheduler(step))
    names = ["gateway-1", "gateway-2", "gateway-3"]
    for name in names:
        await device(cluster, name)
    async with cluster.bus(timeout=30.0) as bus:
        await known(cluster, bus, *names)
        asked_at = time.time()
        handle = await bus.broadcast(Install(), rate=(2, 1))
        await succession
        progress = await over(handle)
        assert (progress.total, progress.done) == (3, 3)
    began = {event["key"]: event["at"] for event in cluster.recorder.named("ran")}
    assert cluster.recorder.ran() == dict.fromkeys(names, 1)
    for number, name in enumerate(names):  # never before its turn, however late it is
        assert began[name] >= asked_at + number * 0.5


@pytest.mark.parametrize("abort_after", [1, 0.3])
async def test_a_rollout_stops_when_too_many_fail(cluster: Cluster, abort_after: float) -> None:
    await cluster.scheduler()
    names = ["gateway-1", "gateway-2", "gateway-3"]
    for name in names:
        await device(cluster, name)
    async with cluster.bus() as bus:
        await known(cluster, bus, *names)
        job = Install(fails_on="gateway-2", gate="go")
        handle = await bus.broadcast(job, rate=(1, 3600), abort_after=abort_after)
        await cluster.recorder.count("waits", 1)
        progress = await handle.progress()
        assert (progress.waiting, progress.running) == (2, 1)
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 1)
        await cluster.ask_until(
            bus, "rollout.show", lambda shown: shown["pending"] == 2, id=handle.id
        )
        other = await bus.broadcast(
            Install(fails_on="gateway-1"), rate=(1, 3600), abort_after=abort_after
        )
        progress = await over(other)
        assert (progress.failed, progress.cancelled, progress.done) == (1, 2, 0)
        assert progress.called_off
        assert progress.aborted_at is not None
        assert (await handle.progress()).waiting == 2
        progress = await handle.cancel()
        assert (progress.done, progress.cancelled, progress.waiting) == (1, 2, 0)
        assert progress.finished_at is not None
    assert cluster.recorder.ran() == {"gateway-1": 1}


def test_a_named_worker_serves_its_own_queue_first() -> None:
    options = WorkerOptions(queues=("high", "low"), name="gateway-17")
    assert options.served == ("@gateway-17", "high", "low")
    assert WorkerOptions(queues=("high",)).served == ("high",)


async def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must not begin with '@'"):
        WorkerOptions(queues=("@gateway-17",))
    with pytest.raises(ConfigurationError, match="say --name, too"):
        WorkerOptions(tags={"site": "north"})
    bus = Bus("mqtt://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="must not begin with '@'"):
        await bus.dispatch(Install(), queue="@gateway-17")
    with pytest.raises(ConfigurationError, match="must not begin with '@'"):
        await bus.dispatch(Install(), queue="@gateway-17", delay=1)
    with pytest.raises(ConfigurationError, match="either to='gateway-17' or queue='x'"):
        await bus.dispatch(Install(), to="gateway-17", queue="x")
    with pytest.raises(ConfigurationError, match="must not contain '/'"):
        await bus.dispatch(Install(), to="gateway/17")
    with pytest.raises(ConfigurationError, match="all devices but one"):
        await bus.broadcast(OneAtATime(key="a"))
    with pytest.raises(ConfigurationError, match=r"rate=\(0, 1\)"):
        await bus.broadcast(Install(), rate=(0, 1))
    with pytest.raises(ConfigurationError, match="abort_after=-1"):
        await bus.broadcast(Install(), abort_after=-1)
    with pytest.raises(ConfigurationError, match="expires_in=0"):
        await bus.broadcast(Install(), expires_in=0)
