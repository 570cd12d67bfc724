"""What some brokers do not take: QoS 1, and a dot in a client identifier."""

from __future__ import annotations

import asyncio
import socket

import pytest

from routeq_mqtt import Job
from routeq_mqtt.bus.send.sender import Sender
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import BrokerOptions, MemoryBroker, MemoryTransport
from routeq_mqtt.testing.bus import MemoryBus
from routeq_mqtt.transport.base import Connection, ConnectOptions, OnMessage
from routeq_mqtt.worker.consume import groups
from routeq_mqtt.worker.options import WorkerOptions
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.recorder import TIMEOUT

RAN = asyncio.Event()


class Dotted(Job):
    queue = "a.b"

    async def handle(self) -> None:
        RAN.set()


async def test_no_client_identifier_has_a_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "box.example.org")
    seen: set[str] = set()
    connect = MemoryTransport.connect

    async def noting(
        self: MemoryTransport, options: ConnectOptions, on_message: OnMessage
    ) -> Connection:
        seen.add(options.client_id)
        return await connect(self, options, on_message)

    monkeypatch.setattr(MemoryTransport, "connect", noting)
    async with MemoryBus() as bus:
        await bus.worker("a.b", "a-b")
        await bus.worker(options=WorkerOptions(queues=("a.b",), name="pump.7"))
        await bus.dispatch(Dotted())
        async with asyncio.timeout(TIMEOUT):
            await RAN.wait()
        await bus.purge("a.b")
    assert len(seen) >= 10
    assert [name for name in seen if "." in name] == []


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_worker_says_that_a_broker_takes_qos_0_only(
    cluster: Cluster, protocol: str
) -> None:
    if cluster.kind == "embedded":
        return  # it takes every QoS
    cluster.extra_conf.append("max_qos 0")
    await cluster.restart_broker()
    code, output = await cluster.cli("queues")
    assert code != 0
    assert "max_qos" in output, output


@pytest.mark.parametrize("shares", [True, False])
async def test_a_worker_says_that_no_job_will_come(
    *, shares: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_WITHIN", 0.2)
    broker = MemoryBroker(BrokerOptions(shares=shares, reports_no_subscribers=False))
    asked = asyncio.Event()
    gets_shared = Sender.gets_shared

    async def noting(self: Sender, timeout: float) -> bool:
        got = await gets_shared(self, timeout)
        asyncio.get_running_loop().call_soon(asked.set)
        return got

    monkeypatch.setattr(Sender, "gets_shared", noting)
    async with MemoryBus("default", broker=broker, settings=Settings(sharing="broker")):
        async with asyncio.timeout(TIMEOUT):
            await asked.wait()
        await asyncio.sleep(0)
    assert ("does not deliver to shared subscriptions" in caplog.text) is not shares


async def test_a_worker_on_a_real_broker_has_nothing_to_say(cluster: Cluster) -> None:
    worker = await cluster.worker()
    async with cluster.bus() as bus:
        await bus.dispatch(Report(key="a"))
        await cluster.recorder.count("ran", 1)
    assert await worker.stop() == 0
    assert "shared subscriptions" not in worker.output
