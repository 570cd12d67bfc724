"""Outboxes and what the broker counts, as metrics: read by the parser of Prometheus."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from routeq_mqtt import Bus, OutboxOptions, UnreadableMessage
from routeq_mqtt.bus.outbox import reporter
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.wire.observe.asks import MetricsText
from routeq_mqtt.wire.observe.outbox import OutboxReport
from tests.observe.rig import Rig, Tallied, rig


@pytest.fixture
async def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Rig, Bus]]:
    monkeypatch.setattr(reporter, "_EVERY", 0.01)
    async with rig(tmp_path) as made:
        yield made


async def metrics(bus: Bus, prefix: str) -> dict[str, float]:
    """Values by name, and by the values of labels."""
    text = await bus.requests.ask(MetricsText())
    return {
        " ".join([sample.name.removeprefix(prefix), *sample.labels.values()]): sample.value
        for one in text_string_to_metric_families(text)
        for sample in one.samples
        if sample.name.startswith(prefix)
    }


async def test_an_outbox_reports_while_jobs_wait_in_it(
    bed: tuple[Rig, Bus], tmp_path: Path
) -> None:
    one, bus = bed
    slow = OutboxOptions(path=tmp_path / "outbox.db", max_rate=1 / 3600, linger=0)
    async with Bus(settings=Settings(), transport=one.transport, outbox=slow) as producer:
        for n in range(3):
            await producer.dispatch(Tallied(key=str(n)))
        seen: dict[str, float] = {}
        while seen.get("jobs") != 3:
            seen = await metrics(bus, "routeq_outbox_")
        assert seen["reporting"] == 1
        assert seen["bytes"] > 100
        assert seen["refused_jobs"] == 0
        assert 0 < seen["oldest_seconds"] < 60
        [report] = (await one.retained("routeq/outbox/+")).values()
        assert report["place"].endswith(f":{tmp_path / 'outbox.db'}")
    # A restart of the producer is the same outbox, and an empty one has no report.
    fast = OutboxOptions(path=tmp_path / "outbox.db")
    async with Bus(settings=Settings(), transport=one.transport, outbox=fast) as producer:
        await producer.dispatch(Tallied(key="last"))
    seen = await metrics(bus, "routeq_outbox_")
    assert seen == dict.fromkeys(seen, 0)
    assert await one.retained("routeq/outbox/+") == {}


def test_a_report_names_a_file_whatever_its_name_is_and_has_bounds() -> None:
    place = os.fsdecode(b"host:/caf\xe9/outbox.db")
    assert OutboxReport.decode(OutboxReport(place=place).encode()).place == "host:/caf?/outbox.db"
    for wrong in ({}, {"place": "p" * 1_001}, {"place": "h:/o", "jobs": -1}):
        with pytest.raises(UnreadableMessage):
            OutboxReport.decode(json.dumps(wrong).encode())


async def test_what_is_no_report_is_left_out(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    stranger = await one.transport.connect(ConnectOptions("stranger"), lambda message: None)
    await stranger.publish("routeq/outbox/x", b'{"place": 5}', retain=True)
    await stranger.publish("routeq/outbox/y", b'{"place": "h:/o", "jobs": 4}', retain=True)
    assert (await metrics(bus, "routeq_outbox_"))["jobs"] == 4
    await stranger.close()


async def test_the_counters_of_the_broker_are_metrics(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    assert (await metrics(bus, "routeq_broker_")).keys() == {"up", "waiting_jobs"}
    broker = await one.transport.connect(ConnectOptions("broker"), lambda message: None)
    said = {
        "uptime": b"3600 seconds", "clients/connected": b"12", "clients/disconnected": b"3",
        "messages/received": b"100", "publish/messages/dropped": b"7", "bytes/sent": b"2.5",
        "retained messages/count": b"<script>", "store/messages/bytes": b"nan", "load/x": b"1",
    }  # fmt: skip
    for topic, value in said.items():
        await broker.publish(f"$SYS/broker/{topic}", value, retain=True)
    expected = {
        "uptime_seconds": 3600, "clients connected": 12, "clients disconnected": 3,
        "packets_total received": 100, "dropped_messages_total": 7, "bytes_total sent": 2.5,
        "up": 1, "waiting_jobs": 0,
    }  # fmt: skip
    assert await metrics(bus, "routeq_broker_") == expected
    # Retained: the next scheduler has them at once.
    assert one.scheduler is not None
    await one.kill(one.scheduler)
    await one.start_scheduler()
    assert await metrics(bus, "routeq_broker_") == expected
    await broker.close()


async def test_nothing_of_the_broker_waits_for_a_scheduler_that_is_away(
    bed: tuple[Rig, Bus],
) -> None:
    """Some brokers keep 1,000 messages for a session: these would take the place of jobs."""
    one, _ = bed
    assert one.scheduler is not None
    granted = {
        name: qos
        for name, qos in one.broker._router.sessions["routeq-scheduler"].plain.items()
        if name.startswith("$SYS")
    }
    assert set(granted.values()) == {0}
    assert len(granted) > 10
