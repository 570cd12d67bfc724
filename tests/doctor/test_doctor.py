"""`doctor` on real brokers, healthy and not: what it finds, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import Bus
from routeq_mqtt.doctor.checks import Check, examine, keys
from routeq_mqtt.presence.status import WorkerStatus, encode
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import ConnectOptions
from tests.cluster.cluster import Cluster, Kind, free_port
from tests.cluster.jobs import Report
from tests.cluster.process import Process
from tests.cluster.recorder import TIMEOUT, Recorder
from tests.cluster.retained import clear_when
from tests.secure.cluster import SecureCluster


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


async def test_a_healthy_bus_is_found_healthy_and_nothing_is_left_behind(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    before = await retained(cluster)
    checks = await examine(Settings(url=cluster.url))
    assert {check.verdict for check in checks} == {"ok"}, checks
    assert {
        "connection", "encryption", "delivery", "scheduler", "the scheduler's clock", "workers",
        "queues", "access control", "other listeners", "shared subscriptions", "a job's way",
        "$queue path", "receive maximum", "session expiry", "persistence", "message limit",
    } <= {check.name for check in checks}  # fmt: skip
    assert await retained(cluster) == before
    async with cluster.bus() as bus:
        assert await bus.requests.call("failed.list") == []
        assert not {name for name in await bus.sizes.all() if "doctor" in name}
    await cluster.stop_broker()
    assert b"doctor" not in left_on_disk(cluster)


async def retained(cluster: Cluster) -> set[str]:
    topics: set[str] = set()
    transport = AioTransport(Settings(url=cluster.url).address())
    reader = await transport.connect(
        ConnectOptions("reader"), lambda message: topics.add(message.topic)
    )
    await reader.subscribe("routeq/#")
    await reader.subscribe("nothing")  # a round trip, behind what is retained
    await reader.close()
    return {topic for topic in topics if not topic.startswith("routeq/events/")}


def left_on_disk(cluster: Cluster) -> bytes:
    """Sessions and retained messages that the broker would bring back."""
    if cluster.kind == "mosquitto":
        return (cluster.folder / "mosquitto.db").read_bytes()
    with sqlite3.connect(cluster.folder / "broker.db") as db:
        rows: list[Any] = []
        for table in ("sessions", "subscriptions", "retained", "entries"):
            rows += db.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
    return repr(rows).encode()


class StockBed(Cluster):
    """A mosquitto as it comes, but for its port."""

    def _conf(self) -> str:
        path = self.folder / "stock.conf"
        path.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n")
        return str(path)


@pytest.mark.slow
async def test_a_stock_mosquitto_keeps_a_thousand(
    kind: Kind, tmp_path: Path, recorder: Recorder
) -> None:
    if kind != "mosquitto":
        pytest.skip("it is about mosquitto")
    cluster = StockBed(kind, tmp_path, recorder)
    await cluster.start_broker()
    try:
        checks = by_name(await examine(Settings(url=cluster.url)))
        assert checks["message limit"].verdict == "failed"
        assert "kept 1000 of 1100" in checks["message limit"].found
        assert "max_queued_messages 0" in checks["message limit"].fix
        assert checks["scheduler"].verdict == checks["$queue path"].verdict == "failed"
        assert checks["queues"].found == "jobs that wait without a worker are not counted"
        code, output = await cluster.cli("doctor", "--json")
        assert code == 1
        assert "max_queued_messages" in output
    finally:
        await cluster.close()


async def test_clocks_and_queues_without_a_worker(cluster: Cluster) -> None:
    await cluster.scheduler()
    async with cluster.bus() as bus:
        await bus.dispatch(Report(key="x"), queue="lonely")
        async with asyncio.timeout(TIMEOUT):
            while (await bus.size("lonely")).parked < 1:
                pass  # the broker says what waits there; each answer is an event
        connection = await bus.sender.link.ready()
        ghost = WorkerStatus(id="ghost", state="online", queues=["q"], at=time.time() + 3_600)
        await connection.publish(bed_topic(bus, "ghost"), encode(ghost), retain=True)
        checks = by_name(await examine(Settings(url=cluster.url)))
        await connection.publish(bed_topic(bus, "ghost"), b"", retain=True)
    assert "3600 s ahead of ours" in checks["the clock of ghost"].found
    assert checks["queues"].verdict == "warning"
    assert "lonely (1)" in checks["queues"].found
    assert checks["queues"].fix == "start one: routeq-mqtt worker --queue lonely"


@pytest.mark.slow
async def test_sessions_whose_worker_has_no_status(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    worker = await cluster.worker()
    clearing = asyncio.create_task(clear_when(cluster.url, "routeq/workers/+", b'"lost"'))
    scheduler.send(signal.SIGSTOP)  # else it may adopt them before the status is cleared
    await worker.kill()
    name = (await clearing).removeprefix("routeq/workers/")
    scheduler.send(signal.SIGCONT)
    checks = by_name(await examine(Settings(url=cluster.url)))
    assert checks["sessions"].verdict == "warning"
    assert f"{name}/default" in checks["sessions"].found


async def test_queues_are_named_as_they_are_configured(cluster: Cluster) -> None:
    settings = Settings(url=cluster.url, intake_prefix="jobs/in/")
    check = by_name(await examine(settings))["jobs/in path"]
    if cluster.kind == "embedded":
        assert check.verdict == "ok"
        assert "published to jobs/in/#" in check.found
    else:
        assert check.verdict == "failed"
        assert "jobs/in/# has no reader" in check.found


def bed_topic(bus: Bus, worker: str) -> str:
    return bus.sender.topics.worker(worker)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["operator", "worker"])
async def test_with_access_rules_and_no_secrets_shown(
    kind: Kind, tmp_path: Path, recorder: Recorder, role: str
) -> None:
    cluster = SecureCluster(kind, tmp_path, recorder)
    await cluster.start_broker()
    try:
        await cluster.scheduler()
        await cluster.worker()
        checks = by_name(await examine(cluster.settings_of(role)))
        wrong = {c.name for c in checks.values() if c.verdict != "ok"}
        if kind == "mosquitto" and role == "operator":
            # mosquitto lets everybody join a group: the operator is trusted not to.
            assert wrong == {"a job's way"}
            assert "swallow" in checks["a job's way"].found
        else:
            assert wrong == set(), checks
        assert "TLS" in checks["encryption"].found
        assert "refused" in checks["access control"].found
        env = {"ROUTEQ_SIGNING_KEYS": "k1:hunter2,k2:hunter2-and-so-on-and-on"}
        process = await Process.cli("doctor", "doctor", "--json", env=cluster.env | env)
        await process.ended()
        assert "hunter2" not in process.output
        assert "k1 can be guessed" in process.output
    finally:
        await cluster.close()


@pytest.mark.slow
async def test_where_nobody_answers_there_is_one_verdict() -> None:
    url = f"mqtt://u:hunter2@127.0.0.1:{free_port()}"
    process = await Process.cli(
        "doctor", "doctor", "--json", env={"ROUTEQ_URL": url, "ROUTEQ_TIMEOUT": "1"}
    )
    assert await process.ended() == 3
    [check] = json.loads(process.output)
    assert (check["name"], check["verdict"]) == ("connection", "failed")
    assert check["fix"].startswith("is it running? start one: routeq-mqtt up")
    assert "hunter2" not in process.output


def test_short_secrets_are_named_by_their_keys() -> None:
    [check] = keys(Settings(signing_keys="k2:long-enough-a-secret, k1:short"))
    assert check.verdict == "warning"
    assert check.found == "k1 can be guessed"
    assert keys(Settings()) == []
