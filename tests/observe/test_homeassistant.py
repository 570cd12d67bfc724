"""What Home Assistant is sent: valid for its discovery, true to the topics, and taken back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pytest

from routeq_mqtt import Bus
from routeq_mqtt.scheduler.observe import discovery
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.wire.messages import requests
from routeq_mqtt.wire.messages.asking import read_request
from routeq_mqtt.wire.observe import catalogue
from routeq_mqtt.wire.observe.asks import BulkList
from routeq_mqtt.wire.observe.numbers import Alert, Alerts, QueueNumbers
from tests.observe.rig import Rig, Tallied, rig, until

TOPICS = Topics()
COMMON = {"platform", "unique_id", "name", "entity_category"}
READS = COMMON | {"state_topic", "value_template", "device_class"}
PLATFORMS = {
    "sensor": (READS | {"state_class", "unit_of_measurement"}, {"state_topic"}),
    "binary_sensor": (READS, {"state_topic"}),
    "button": (COMMON | {"command_topic", "payload_press"}, {"command_topic"}),
    "event": (READS | {"event_types"}, {"state_topic", "event_types"}),
}
"""Of each platform: the options that we use, of those that Home Assistant documents, and which of
them it requires."""

CLASSES = {
    "sensor": {"timestamp"},
    "binary_sensor": {"problem", "connectivity"},
    "event": set[str](),
    "button": set[str](),
}
EVIL = ["reports", "a.b", "a_b", 'x"}}{{evil', "ä ö"[:1], "A"]


def check(payload: dict[str, Any]) -> None:
    """The schema of device discovery, as Home Assistant publishes it."""
    assert payload.keys() <= {"device", "origin", "components", "availability", "qos"}
    assert payload["qos"] in {0, 1, 2}
    device = payload["device"]
    allowed = {"identifiers", "name", "manufacturer", "model", "sw_version", "via_device"}
    assert device.keys() <= allowed
    assert all(isinstance(one, str) and one for one in device["identifiers"])
    assert all(isinstance(device[key], str) for key in device.keys() - {"identifiers"})
    assert payload["origin"].keys() == {"name", "sw_version", "support_url"}
    for availability in payload.get("availability", []):
        assert availability.keys() <= {"topic", "value_template"}
    ids = []
    for component in payload["components"].values():
        allowed_options, required = PLATFORMS[component["platform"]]
        if component.keys() == {"platform"}:
            continue  # to be removed
        assert component.keys() <= allowed_options
        assert component.keys() >= required | {"unique_id", "name"}
        assert component.get("entity_category") in {None, "config", "diagnostic"}
        assert component.get("state_class") in {None, "measurement", "total_increasing"}
        if "device_class" in component:
            assert component["device_class"] in CLASSES[component["platform"]]
        for topic in (component.get("state_topic"), component.get("command_topic")):
            assert topic is None or not set("+#\0") & set(topic)
        ids.append(component["unique_id"])
    assert len(ids) == len(set(ids))


def rendered(template: str, payload: bytes) -> str:
    """As Home Assistant renders a template of a message."""
    environment = jinja2.Environment(autoescape=False)  # noqa: S701 - as it does there
    environment.globals["as_datetime"] = lambda at: datetime.fromtimestamp(at, UTC)
    environment.filters["tojson"] = json.dumps
    values: dict[str, Any] = {"value": payload.decode()}
    if payload:
        values["value_json"] = json.loads(payload)
    return environment.from_string(template).render(values)


def components(queue: str) -> dict[str, dict[str, Any]]:
    """Of one queue, by their last words."""
    device = discovery.bus_device(TOPICS, [queue])
    own = discovery.object_id(TOPICS.control, "queue", queue)
    return {
        key.removeprefix(f"{own}_"): one
        for key, one in device["components"].items()
        if key.startswith(own)
    }


@pytest.mark.parametrize("queue", EVIL)
def test_a_queue_is_announced_by_what_its_topic_says(queue: str) -> None:
    check(discovery.bus_device(TOPICS, [queue]))
    found = components(queue)
    numbers = QueueNumbers(
        queue=queue, parked=2, waiting=1, limited=4, failed=3, done_total=9, oldest_at=1_700_000_000
    ).encode()
    says = {key: rendered(found[key]["value_template"], numbers) for key in
            ("waiting", "oldest", "failed", "done")}  # fmt: skip
    assert says == {
        "waiting": "7", "oldest": "2023-11-14T22:13:20+00:00", "failed": "3", "done": "9"
    }  # fmt: skip
    assert rendered(found["oldest"]["value_template"], QueueNumbers(queue=queue).encode()) == "None"
    stuck = Alert(key=f"queue stuck/{queue}", kind="queue stuck", queue=queue, text="t")
    template = found["stuck"]["value_template"]
    assert rendered(template, Alerts(alerts=[stuck]).encode()) == "ON"
    other = Alert(key=f"queue stuck/{queue}2", kind="queue stuck", queue="b", text="t")
    assert rendered(template, Alerts(alerts=[other]).encode()) == "OFF"


@pytest.mark.parametrize("queue", EVIL)
def test_a_button_is_a_request_that_the_scheduler_reads(queue: str) -> None:
    for key, kind in (
        ("pause", "queue.pause"), ("resume", "queue.resume"), ("retry", "failed.bulk")
    ):  # fmt: skip
        button = components(queue)[key]
        assert button["command_topic"] == f"routeq/rpc/{kind}"
        asked = read_request(button["payload_press"].encode())
        read: Any = catalogue.read(kind, asked.args)
        assert read.queue == queue


def test_an_event_says_that_something_is_wrong_and_that_it_is_over() -> None:
    event = discovery.bus_device(TOPICS, [])["components"]["alerts"]
    alert = Alert(key="k", kind="scheduler", text='disk "full"')
    found = json.loads(rendered(event["value_template"], Alerts(alerts=[alert]).encode()))
    assert found == {"event_type": "alert", "alerts": ['disk "full"']}
    over = json.loads(rendered(event["value_template"], Alerts().encode()))
    assert over == {"event_type": "all well", "alerts": []}
    assert {found["event_type"], over["event_type"]} == set(event["event_types"])


def test_a_worker_is_a_device_of_the_bus() -> None:
    payload = discovery.worker_device(TOPICS, "pump-7", "pump-7-1-abc")
    check(payload)
    [bus] = discovery.bus_device(TOPICS, [])["device"]["identifiers"]
    assert payload["device"]["via_device"] == bus
    online, running = payload["components"]["online"], payload["components"]["running"]
    assert rendered(online["value_template"], b'{"state": "online"}') == "ON"
    assert rendered(online["value_template"], b'{"state": "lost"}') == "OFF"
    assert rendered(online["value_template"], b"") == "OFF"
    assert rendered(running["value_template"], b'{"active": {"a": 2, "b": 1}}') == "3"


def test_ids_are_plain_stable_and_never_the_same() -> None:
    ids = [discovery.object_id("routeq", "queue", queue) for queue in EVIL]
    assert len(set(ids)) == len(ids)
    assert all(one.replace("_", "").isalnum() and one.isascii() for one in ids)
    assert discovery.object_id("routeq", "queue", "reports") == "routeq_queue_reports"


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[tuple[Rig, Bus]]:
    async with rig(tmp_path) as (one, bus):
        assert one.scheduler is not None
        await one.stop(one.scheduler)
        await one.start_scheduler(homeassistant=True)
        yield one, bus


async def announced(one: Rig) -> dict[str, Any]:
    await one.observers.numbers.publish()
    await one.observers.homeassistant.announce()
    return await one.retained("homeassistant/#")


BUS = "homeassistant/device/routeq/config"


async def test_all_is_announced_and_taken_back(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    worker = await one.start_worker("reports", name="pump-7")
    await bus.dispatch(Tallied(key="x"), queue="reports", confirm="stored")
    while not await bus.requests.ask(requests.DeviceList()):
        await asyncio.sleep(0.01)
    found = await announced(one)
    assert len(found) == 2
    for payload in found.values():
        check(payload)
    assert "routeq_queue_reports_pause" in found[BUS]["components"]
    await one.stop(worker)
    assert (await announced(one)).keys() == found.keys()  # it may come back
    await bus.requests.ask(requests.DeviceForget(name="pump-7"))
    assert (await announced(one)).keys() == {BUS}
    assert one.scheduler is not None
    await one.stop(one.scheduler)
    await one.start_scheduler()
    await one.observers.homeassistant.announce()
    assert await one.retained("homeassistant/#") == {}


async def test_the_entities_of_a_queue_that_is_gone_are_removed(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    handle = await bus.dispatch(Tallied(key="x"), queue="once", delay=3600, confirm="stored")
    assert "routeq_queue_once_stuck" in (await announced(one))[BUS]["components"]
    await handle.cancel()
    await until(lambda: "once" in one.observers.numbers.queues)
    found = await announced(one)
    check(found[BUS])
    assert found[BUS]["components"]["routeq_queue_once_stuck"] == {"platform": "binary_sensor"}
    assert "routeq_queue_once_stuck" not in (await announced(one))[BUS]["components"]


async def test_it_is_sent_again_when_home_assistant_starts(bed: tuple[Rig, Bus]) -> None:
    one, _ = bed
    await announced(one)
    connection = await one.transport.connect(ConnectOptions("ha"), lambda message: None)
    await connection.publish(BUS, b"", retain=True)
    assert await announced(one) == {}  # nothing has changed, as far as the scheduler knows
    await connection.publish("homeassistant/status", b"online")
    while BUS not in await announced(one):
        await asyncio.sleep(0)
    await connection.close()


async def test_a_button_does_what_it_says(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    button = components("reports")["retry"]
    connection = await one.transport.connect(ConnectOptions("ha"), lambda message: None)
    await connection.publish(button["command_topic"], button["payload_press"].encode())
    while not (found := await bus.requests.ask(BulkList())):
        await asyncio.sleep(0)
    assert [(bulk.queue, bulk.action, bulk.by) for bulk in found] == [
        ("reports", "retry", "homeassistant")
    ]
    await connection.close()
