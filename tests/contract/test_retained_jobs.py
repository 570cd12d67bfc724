"""A retained message where jobs come in runs once, not at every start of the scheduler."""

from __future__ import annotations

import json

import pytest

from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import ConnectOptions
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report


def job(key: str) -> bytes:
    return json.dumps({"job": "Report", "data": {"key": key}}).encode()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_retained_job_runs_once_over_restarts(cluster: Cluster, protocol: str) -> None:
    """One that is published before there is a scheduler, and one that is published while it is."""
    await cluster.worker()
    async with cluster.bus() as bus:

        async def retain(topic: str, key: str) -> None:
            connection = await bus.sender.link.ready()
            await connection.publish(topic, job(key), retain=True)

        await retain("$queue/default", "before")
        for start in range(4):
            scheduler = await cluster.scheduler(ROUTEQ_PROTOCOL=protocol)
            if start == 0:
                await cluster.recorder.count("ran", 1)
                await retain("$queue/default", "live")
                await retain("routeq/schedule", "scheduled")
                await cluster.recorder.count("ran", 3)
            await bus.dispatch(Report(key=f"mark-{start}"), confirm="stored")
            await cluster.recorder.count("ran", 4 + start)
            await scheduler.kill()
        ran = cluster.recorder.ran()
        assert set(ran.values()) == {1}, ran
        # In a new session the broker sends them as news: those that came so before are known.
        again = 1 if cluster.shares_queue else 2
        for start in range(2):
            await forget_session(cluster)
            scheduler = await cluster.scheduler(ROUTEQ_PROTOCOL=protocol)
            await bus.dispatch(Report(key=f"new-{start}"), confirm="stored")
            await cluster.recorder.count("ran", 8 + again + start)
            await scheduler.kill()
    ran = cluster.recorder.ran()
    assert ran["before"] == 1
    assert (ran["live"], ran["scheduled"]) == (again, 2)


async def test_a_session_without_its_subscriptions_gets_them(cluster: Cluster) -> None:
    """As a scheduler leaves it that is killed between CONNECT and SUBSCRIBE (model seed 525)."""
    scheduler = await cluster.scheduler(ROUTEQ_PROTOCOL="3.1.1")
    await scheduler.kill()
    await forget_session(cluster)
    address = Settings(url=cluster.url, protocol="3.1.1").address()
    options = ConnectOptions(SCHEDULER_CLIENT_ID, persistent=True)
    await (await AioTransport(address).connect(options, lambda message: None)).close()
    await cluster.scheduler(ROUTEQ_PROTOCOL="3.1.1")
    async with cluster.bus() as bus:
        await bus.dispatch(Report(key="arrives"), confirm="stored")


async def forget_session(cluster: Cluster) -> None:
    transport = AioTransport(Settings(url=cluster.url).address())
    options = ConnectOptions(SCHEDULER_CLIENT_ID, persistent=True)
    connection = await transport.connect(options, lambda message: None)
    await connection.close(end_session=True)
