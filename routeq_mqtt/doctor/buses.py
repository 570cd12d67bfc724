"""Which other buses are on the broker: each namespace has its own scheduler and workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.doctor.report import Check
from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.presence.status import SchedulerStatus, WorkerStatus

if TYPE_CHECKING:
    from routeq_mqtt.doctor.patient import Patient
    from routeq_mqtt.transport.base import Message

_REFUSED = 0x80


async def other_buses(patient: Patient) -> Check:
    """The retained statuses of schedulers and workers that are not ours."""
    async with patient.client() as probe:
        codes = await probe.connection.subscribe(*patient.topics.all_buses())
        # Behind the retained messages of the others comes what we publish ourselves.
        await probe.connection.subscribe(probe.topic)
        await probe.connection.publish(probe.topic, b"doctor")
        while not any(message.topic == probe.topic for message in probe.messages):
            if not await probe.more():
                break
        seen = list(probe.messages)
    if min(codes) >= _REFUSED:
        return Check("other buses", "ok", "not looked for: this user may read its own bus only")
    schedulers: dict[str, str] = {}
    workers: dict[str, int] = {}
    for message in seen:
        bus = patient.topics.bus_of(message.topic)
        if bus is None or bus.namespace == patient.topics.namespace:
            continue
        workers.setdefault(bus.namespace, 0)
        if message.topic == bus.scheduler:
            schedulers[bus.namespace] = _state(message)
        else:
            workers[bus.namespace] += _is_online(message)
    found = [
        f"{name or 'without a namespace'}: scheduler {schedulers.get(name, 'unknown')}, "
        f"workers online: {workers[name]}"
        for name in sorted(workers)
    ]
    return Check("other buses", "ok", "; ".join(found) or "none is seen on this broker")


def _state(message: Message) -> str:
    try:
        return SchedulerStatus.decode(message.payload).state
    except UnreadableMessage:
        return "unknown"


def _is_online(message: Message) -> bool:
    try:
        return WorkerStatus.decode(message.payload).state == "online"
    except UnreadableMessage:
        return False
