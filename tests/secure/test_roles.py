"""What each role can and cannot do, with the shipped rules, on both brokers."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from routeq_broker import hashed_line
from routeq_mqtt import ConnectionFailed, ConnectionLost, PublishRefused, batch
from routeq_mqtt.transport.aio import AioConnection, AioTransport
from routeq_mqtt.transport.base import ConnectOptions, Will
from routeq_mqtt.wire.envelopes.envelope import Envelope
from tests.cluster.jobs import Gated, Hopeless, Report
from tests.cluster.recorder import TIMEOUT
from tests.secure.cluster import DEVICE, Client, SecureCluster, password

pytestmark = pytest.mark.slow


async def test_a_whole_job_runs_with_the_roles(secure: SecureCluster) -> None:
    await secure.scheduler()
    worker = await secure.worker("default,telemetry")
    async with secure.bus() as bus:
        await bus.dispatch(Report(key="now"))
        await bus.later(0.1, Report(key="later"))
        await bus.dispatch(Report(key="stored"), confirm="stored")
        failed = (await bus.dispatch(Hopeless())).id
        await secure.recorder.count("ran", 3)
        await bus.dispatch(Gated(key="survivor", gate="go"))
        await secure.recorder.count("waits", 1)
        await worker.kill()
        await secure.worker("default,telemetry")
        secure.recorder.open("go")
        await secure.recorder.wait(lambda: "survivor" in secure.recorder.ran())
    async with secure.bus("operator") as bus:
        records = await secure.failed_records(bus, 1)
    assert [record["id"] for record in records] == [failed]
    for command in (("failed", "retry", failed), ("workers",), ("queues",)):
        code, output = await secure.cli(*command)
        assert code == 0, output


async def test_workers_announce_schedules_and_producers_see_results_and_batches(
    secure: SecureCluster,
) -> None:
    await secure.scheduler()
    await secure.worker("default", "--app", "tests.features.ticking")
    async with secure.bus() as bus:
        handle = await batch([Report(key="one"), Report(key="two")]).dispatch(bus)
        result = await bus.dispatch(Report(key="three"), result_ttl=60)
        assert (await result.wait(timeout=20)).state == "done"
        assert (await result.status()).state == "done"
        assert (await handle.progress()).total == 2
    async with secure.bus("operator") as bus:
        await secure.ask_until(
            bus, "schedule.list", lambda found: "yearly" in {one["name"] for one in found}
        )


async def test_a_device_sends_jobs_to_its_own_queues_only(secure: SecureCluster) -> None:
    await secure.scheduler()
    await secure.worker("default,telemetry,pump-7")
    sent = Envelope(job="Report", data={"key": "from a device"}).encode()
    async with secure.client(DEVICE) as device:
        for queue in ("pump-7", "telemetry"):
            assert await device.connection.publish(secure.device_topic(queue), sent) == 0
    await secure.recorder.count("ran", 2)
    for queue in ("default", "pump-8"):
        assert await _refused(secure, DEVICE, secure.device_topic(queue), sent)
    async with secure.bus() as bus:
        await bus.dispatch(Report(key="last"))
    await secure.recorder.count("ran", 3)
    assert secure.recorder.ran() == {"from a device": 2, "last": 1}


async def test_a_device_neither_reads_nor_swallows_jobs(secure: SecureCluster) -> None:
    """With an acl_file alone a stranger in the group swallows jobs on mosquitto (seen: 3 of 6)."""
    await secure.scheduler()
    await secure.worker("default,telemetry")
    async with secure.client(DEVICE) as device:
        for name in (
            "#", "+/+", "$queue/#", "queue/#", "queue/default", "routeq/#", "telemetry",
            "$share/routeq/queue/default", "$share/routeq/$queue/default", "$share/x/#",
        ):  # fmt: skip
            await device.connection.subscribe(name)
        async with secure.bus() as bus:
            for number in range(10):
                await bus.dispatch(Report(key=str(number)))
                await bus.dispatch(Report(key=f"t{number}"), queue="telemetry")
            await bus.later(0.05, Report(key="later"))
        await secure.recorder.count("ran", 21)
        await device.connection.subscribe("barrier")  # all that came before has arrived by now
        assert device.messages == []


CONTROL = {
    "routeq/scheduler": b'{"state":"online","instance":"evil"}',
    "routeq/workers/evil": b'{"id":"evil","state":"online","queues":["default"]}',
    "routeq/orders/pause/default": b"1",
    "routeq/broker": b'{"shares_queue":true}',
    "routeq/rpc/failed.flush": b"\x80",
    "routeq/schedule": b'{"job":"Report"}',
    "routeq/store/default": b"\x80",
    "routeq/failed": b"\x80",
    "routeq/retry": b'{"job":"Report","id":"x"}',
    "routeq/done": b"\x90",
    "queue/default": b'{"job":"Report"}',
}


async def test_a_device_cannot_touch_control_topics(secure: SecureCluster) -> None:
    await secure.scheduler()
    async with secure.client("scheduler", "observer") as observer:
        await observer.connection.subscribe("routeq/#", "queue/#")
        await observer.connection.subscribe("routeq/barrier")
        before = {m.topic: m.payload for m in observer.messages if m.retain}
        observer.messages.clear()
        for topic, payload in CONTROL.items():
            assert await _refused(secure, DEVICE, topic, payload, retain=True), topic
            assert await _refused(secure, DEVICE, topic, b"", retain=True), topic
        await observer.connection.publish("routeq/barrier", b"")
        await _until(observer, "routeq/barrier")
        assert observer.topics <= {"routeq/barrier", "routeq/broker/queues", "routeq/alerts"}
        observer.messages.clear()
        await observer.connection.unsubscribe("routeq/#")
        await observer.connection.subscribe("routeq/#")
        await observer.connection.subscribe("routeq/barrier")
        after = {m.topic: m.payload for m in observer.messages if m.retain}
    assert after.keys() - {"routeq/alerts"} == before.keys() - {"routeq/alerts"}
    assert after["routeq/scheduler"] == before["routeq/scheduler"]


async def test_a_device_cannot_leave_a_last_will_on_a_control_topic(secure: SecureCluster) -> None:
    port = secure.devices_port
    settings = secure.settings_of(DEVICE, url=f"mqtts://localhost:{port}")
    options = ConnectOptions(DEVICE, will=Will("routeq/workers/evil", b"evil"))
    async with secure.client("scheduler", "observer") as observer:
        await observer.connection.subscribe("routeq/#")
        try:
            device = await AioTransport(settings.address()).connect(options, lambda message: None)
        except ConnectionFailed:
            assert secure.kind == "embedded"
        else:
            assert isinstance(device, AioConnection)
            sock: Any = device._client._client.socket()
            sock.shutdown(socket.SHUT_RDWR)
            await device.lost
            await secure.broker_says(f"Client {DEVICE}")
        await observer.connection.publish("routeq/barrier", b"")
        await _until(observer, "routeq/barrier")
        assert "routeq/workers/evil" not in observer.topics


async def test_a_device_cannot_take_over_a_session(secure: SecureCluster) -> None:
    """Fact 6: whoever connects with a client identifier gets what waits in its session."""
    scheduler = await secure.scheduler()
    await scheduler.kill()
    async with secure.bus() as bus:
        await bus.later(3600, Report(key="secret"))
        try:
            async with secure.client(DEVICE, "routeq-scheduler", persistent=True) as device:
                await device.connection.subscribe("barrier")
                assert device.messages == []
        except (ConnectionFailed, ConnectionLost):
            assert secure.kind == "embedded"
        await secure.scheduler()
        await secure.ask_until(
            bus, "sizes", lambda sizes: sizes.get("default", {}).get("delayed") == 1
        )


async def test_nobody_occupies_the_schedulers_client_id(secure: SecureCluster) -> None:
    """On mosquitto nothing prevents it, and docs/security.md says so; the session is not lost."""
    for role in ("producer", "worker", "operator"):
        try:
            async with secure.client(role, "routeq-scheduler", persistent=True):
                assert secure.kind == "mosquitto"
        except (ConnectionFailed, ConnectionLost):
            assert secure.kind == "embedded"
    await secure.scheduler()
    await secure.worker()
    async with secure.bus() as bus:
        await bus.dispatch(Report(key="stored"), confirm="stored")
    await secure.recorder.count("ran", 1)


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("producer", "queue/default $queue/default routeq/schedule routeq/store/default",
         "routeq/scheduler routeq/workers/x routeq/done routeq/failed routeq/rpc/failed.flush "
         "routeq/retry routeq/result routeq/back routeq/rpc/census routeq/running/x "
         "routeq/orders/pause/x routeq/session/x routeq/reply/operator"),
        ("worker", "routeq/done routeq/failed routeq/workers/x queue/default routeq/events/default "
         "routeq/retry routeq/result routeq/back routeq/stats/x",
         "routeq/scheduler routeq/rpc/failed.flush routeq/orders/pause/x routeq/queues/x "
         "routeq/alerts"),
        ("operator", "routeq/rpc/failed.list $queue/default",
         "routeq/scheduler routeq/workers/x routeq/done routeq/failed routeq/orders/pause/x "
         "routeq/retry routeq/result routeq/back routeq/standbys/x"),
        ("viewer", "routeq/rpc/jobs.list",
         "$queue/default queue/default routeq/schedule routeq/store/default routeq/rpc/failed.bulk "
         "routeq/rpc/cancel routeq/rpc/jobs.move routeq/rpc/queue.pause routeq/stats/x "
         "routeq/queues/x routeq/alerts routeq/scheduler routeq/events/x"),
        ("scheduler", "routeq/scheduler routeq/orders/pause/x queue/default routeq/reply/x "
         "routeq/standbys/x", ""),
    ],
)  # fmt: skip
async def test_what_a_service_may_write(
    secure: SecureCluster, role: str, may: str, may_not: str
) -> None:
    for topic in may.split():
        assert not await _refused(secure, role, topic, b""), topic
    for topic in may_not.split():
        assert await _refused(secure, role, topic, b"evil", retain=True), topic


@pytest.mark.parametrize(
    ("role", "hidden"),
    [
        ("producer", ["queue/x", "$queue/x", "routeq/failed", "routeq/reply/other"]),
        ("operator", ["queue/x", "$queue/x", "routeq/failed", "routeq/reply/other"]),
        ("viewer", ["queue/x", "$queue/x", "routeq/failed", "routeq/reply/other"]),
        ("worker", ["routeq/failed", "routeq/schedule", "routeq/reply/other"]),
    ],
)
async def test_what_a_service_may_not_read(
    secure: SecureCluster, role: str, hidden: list[str]
) -> None:
    async with secure.client(role) as reader, secure.client("scheduler") as writer:
        await reader.connection.subscribe("#", "queue/#", "$queue/#", *hidden)
        for topic in [*hidden, "routeq/scheduler"]:
            await writer.connection.publish(topic, b"secret")
        await _until(reader, "routeq/scheduler")
        assert not reader.topics & set(hidden)


async def test_a_refused_dispatch_is_an_error_not_a_lost_job(secure: SecureCluster) -> None:
    """A user whose rules allow no queue: the library says so."""
    with (secure.folder / "services.passwd").open("a") as file:
        file.write(hashed_line("nobody", password("nobody")) + "\n")
    with (secure.folder / "services.acl").open("a") as file:
        file.write("user nobody\ntopic write $client/#\n")
    await secure.restart_broker()
    async with secure.bus("nobody") as bus:
        with pytest.raises(PublishRefused, match="access control"):
            await bus.dispatch(Report(key="never"))


async def _refused(
    secure: SecureCluster, user: str, topic: str, payload: bytes, *, retain: bool = False
) -> bool:
    """Whether the broker refused: by a reason (MQTT 5), or by ending the connection."""
    async with secure.client(user, f"{user}-try" if user != DEVICE else None) as client:
        try:
            return await client.connection.publish(topic, payload, retain=retain) >= 0x80
        except ConnectionLost:
            return True


async def _until(client: Client, topic: str) -> None:
    async with asyncio.timeout(TIMEOUT):
        while topic not in client.topics:
            await client.connection.subscribe("routeq/nothing")  # a round trip
