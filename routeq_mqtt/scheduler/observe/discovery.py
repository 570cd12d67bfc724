"""What Home Assistant learns of the bus: payloads of its device-based MQTT discovery.

The bus is a device, and so is each worker with a name; entities read the topics that there are
anyway, and buttons publish requests. Templates hold no names that come from messages, but for queue
names, whose characters are checked and quoted.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from routeq_mqtt.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from routeq_mqtt.topics import Topics

STATUS = "homeassistant/status"
"""Where Home Assistant says that it is online: then it wants everything again."""

_PREFIX = "homeassistant/device"
_BY = "homeassistant"
_URL = "https://github.com/routeq/routeq-mqtt"

Payload = dict[str, Any]


def object_id(bus: str, *names: str) -> str:
    """An id of a device or an entity: readable, unique whatever the names are, and stable."""
    text = "_".join((bus, *names))
    slug = re.sub(r"[^a-zA-Z0-9]+", "_", text).strip("_").lower()[:60]
    if slug == text:
        return slug
    return f"{slug}_{blake2b(repr((bus, names)).encode(), digest_size=4).hexdigest()}"


def bus_topic(topics: Topics) -> str:
    """Where the bus is announced."""
    return f"{_PREFIX}/{object_id(topics.control)}/config"


def worker_topic(topics: Topics, name: str) -> str:
    """Where a named worker is announced."""
    return f"{_PREFIX}/{object_id(topics.control, 'worker', name)}/config"


def bus_device(topics: Topics, queues: Iterable[str], gone: Iterable[str] = ()) -> Payload:
    """The bus, with its queues.

    Args:
        topics: of the bus.
        queues: that it has.
        gone: queues whose entities are to be removed: in one message, and no more after it.
    """
    components: dict[str, Payload] = {"alerts": _alerts(topics)}
    for queue in queues:
        components |= _queue(topics, queue)
    for queue in gone:
        components |= {
            key: {"platform": one["platform"]} for key, one in _queue(topics, queue).items()
        }
    return {
        "device": _device(object_id(topics.control), "Job bus", topics.control),
        "origin": _origin(),
        "availability": _availability(topics.scheduler),
        "components": components,
        "qos": 1,
    }


def worker_device(topics: Topics, name: str, worker_id: str) -> Payload:
    """A worker with a name; its topics are those of its present start."""
    bus, own = topics.control, object_id(topics.control, "worker", name)
    status, load = topics.worker(worker_id), topics.running(worker_id)
    components: dict[str, Payload] = {
        "online": _entity(
            "binary_sensor", own, "online", "Online", status,
            "{{ 'ON' if value_json is defined and value_json.state == 'online' else 'OFF' }}",
            device_class="connectivity",
        ),
        "running": _entity(
            "sensor", own, "running", "Running jobs", load,
            "{{ value_json.active.values() | list | sum if value_json is defined else 0 }}",
            state_class="measurement", unit_of_measurement="jobs",
        ),
        "drain": _button(own, "drain", "Drain", topics, "worker.drain", {"worker": name}),
        "undrain": _button(own, "undrain", "Take jobs again", topics, "worker.undrain",
                           {"worker": name}),
    }  # fmt: skip
    return {
        "device": _device(own, "Worker", name) | {"via_device": object_id(bus)},
        "origin": _origin(),
        "components": components,
        "qos": 1,
    }


def encode(payload: Payload) -> bytes:
    """As JSON."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def _device(identifier: str, model: str, name: str) -> Payload:
    return {
        "identifiers": [identifier],
        "name": name,
        "manufacturer": "routeq-mqtt",
        "model": model,
        "sw_version": VERSION,
    }


def _origin() -> Payload:
    return {"name": "routeq-mqtt", "sw_version": VERSION, "support_url": _URL}


def _availability(topic: str) -> list[Payload]:
    template = "{{ 'online' if value_json.state == 'online' else 'offline' }}"
    return [{"topic": topic, "value_template": template}]


def _queue(topics: Topics, queue: str) -> dict[str, Payload]:
    own, topic = object_id(topics.control, "queue", queue), topics.numbers(queue)
    jobs = {"unit_of_measurement": "jobs"}
    stuck = json.dumps(f"queue stuck/{queue}")
    found = {
        "waiting": _entity(
            "sensor", own, "waiting", f"{queue}: waiting", topic,
            "{{ value_json.parked + value_json.waiting + value_json.limited }}",
            state_class="measurement", **jobs,
        ),
        "oldest": _entity(
            "sensor", own, "oldest", f"{queue}: oldest waiting job", topic,
            "{{ as_datetime(value_json.oldest_at).isoformat() if value_json.oldest_at else None }}",
            device_class="timestamp",
        ),
        "failed": _entity(
            "sensor", own, "failed", f"{queue}: failed", topic, "{{ value_json.failed }}",
            state_class="measurement", **jobs,
        ),
        "done": _entity(
            "sensor", own, "done", f"{queue}: done", topic, "{{ value_json.done_total }}",
            state_class="total_increasing", **jobs,
        ),
        "stuck": _entity(
            "binary_sensor", own, "stuck", f"{queue}: stuck", topics.alerts,
            "{{ 'ON' if " + stuck + " in value_json.alerts | map(attribute='key') | list "
            "else 'OFF' }}",
            device_class="problem",
        ),
        "pause": _button(own, "pause", f"{queue}: pause", topics, "queue.pause", {"queue": queue}),
        "resume": _button(own, "resume", f"{queue}: resume", topics, "queue.resume",
                          {"queue": queue}),
        "retry": _button(own, "retry", f"{queue}: retry failed", topics, "failed.bulk",
                         {"action": "retry", "queue": queue}),
    }  # fmt: skip
    return {f"{own}_{key}": one for key, one in found.items()}


def _alerts(topics: Topics) -> Payload:
    template = (
        "{{ {'event_type': 'alert' if value_json.alerts else 'all well', "
        "'alerts': value_json.alerts | map(attribute='text') | list} | tojson }}"
    )
    own = object_id(topics.control)
    alerts = _entity("event", own, "alerts", "Alerts", topics.alerts, template)
    return alerts | {"event_types": ["alert", "all well"]}


def _entity(
    platform: str, own: str, key: str, name: str, topic: str, template: str, **more: str
) -> Payload:
    return {
        "platform": platform,
        "unique_id": f"{own}_{key}",
        "name": name,
        "state_topic": topic,
        "value_template": template,
        **more,
    }


def _button(
    own: str, key: str, name: str, topics: Topics, method: str, args: dict[str, str]
) -> Payload:
    return {
        "platform": "button",
        "unique_id": f"{own}_{key}",
        "name": name,
        "command_topic": topics.rpc(method),
        "payload_press": json.dumps({"args": args, "by": _BY}),
        "entity_category": "config",
    }
