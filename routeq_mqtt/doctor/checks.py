"""What `doctor` checks. Each check is a function; one that cannot be made says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.errors import ConnectionFailed, NoScheduler
from routeq_mqtt.topics import GROUP
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.seam import ConnectOptions, Message
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from routeq_mqtt.settings import Settings
    from routeq_mqtt.transport.seam import Connection

_WAIT = 3.0
_PROBE = 1_100
"""Messages queued for an absent session: more than a stock mosquitto keeps (1000)."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its verdict; `mend` says what to do."""

    name: str
    verdict: Literal["ok", "warning", "failed"]
    found: str
    mend: str = ""


async def examine(settings: Settings) -> list[Check]:
    """Make all checks; the later ones need a broker that answers."""
    async with Bus(settings=settings) as bus:
        checks = [_connection(bus, settings), _truth(bus)]
        checks += await _scheduler(bus)
        checks.append(await _workers(bus))
        transport = AioTransport(settings.address())
        checks.append(await _way(transport, bus))
        checks.append(await _limits(transport, bus))
        return checks


def _connection(bus: Bus, settings: Settings) -> Check:
    connection = bus.sender.link.connection
    protocol = "MQTT 5" if connection is not None and connection.mqtt5 else "MQTT 3.1.1"
    return Check("connection", "ok", f"{settings.address()} speaks {protocol}")


def _truth(bus: Bus) -> Check:
    around = bus.sender.surroundings
    if around.shares_queue:
        return Check("delivery", "ok", "the embedded broker shares $queue itself")
    if around.truthful:
        return Check("delivery", "ok", "express lane: the broker says when nobody is subscribed")
    return Check(
        "delivery",
        "warning",
        "the broker does not say when nobody is subscribed: all jobs go through the scheduler",
        "a broker that speaks MQTT 5 (mosquitto 2) is faster",
    )


async def _scheduler(bus: Bus) -> list[Check]:
    status = bus.sender.surroundings.scheduler
    if status is None:
        return [
            Check(
                "scheduler",
                "failed" if not bus.sender.surroundings.shares_queue else "warning",
                "none has ever run on this bus",
                "start one: routeq-mqtt scheduler",
            )
        ]
    where = f"{status.state} on {status.host} pid={status.pid} db={status.db}"
    try:
        await bus.requests.call("ping", timeout=_WAIT)
    except NoScheduler:
        return [
            Check("scheduler", "failed", f"{where}; it does not answer", "start it again"),
        ]
    return [Check("scheduler", "ok", where)]


async def _workers(bus: Bus) -> Check:
    await bus.sizes.refresh()
    online = bus.sizes.fleet.online()
    queues = sorted(bus.sizes.fleet.queues())
    if not online:
        return Check("workers", "warning", "none is online", "start one: routeq-mqtt worker")
    return Check("workers", "ok", f"{len(online)} online for {', '.join(queues)}")


async def _way(transport: AioTransport, bus: Bus) -> Check:
    """A message through a shared subscription and back."""
    came: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def take(message: Message) -> None:
        if not came.done():
            came.set_result(message)

    queue = f"doctor-{new_id()[-8:]}"
    connection = await transport.connect(ConnectOptions(f"routeq-{queue}"), take)
    try:
        await connection.subscribe(*bus.sender.topics.shared(queue))
        await bus.sender.send(queue, b"doctor")
        connection.acknowledge(await asyncio.wait_for(came, _WAIT))
    except (TimeoutError, ConnectionFailed) as error:
        return Check(
            "a job's way",
            "failed",
            f"a message through the group {GROUP!r} did not come back: {error!r}",
            "does the broker support shared subscriptions ($share/…)?",
        )
    finally:
        await connection.close()
    return Check("a job's way", "ok", "there and back through a shared subscription")


async def _limits(transport: AioTransport, bus: Bus) -> Check:
    """Whether the broker keeps more for an absent session than a stock mosquitto does."""
    name = f"routeq-doctor-{new_id()[-8:]}"
    options = ConnectOptions(name, persistent=True, session_expiry=60)
    topic = bus.sender.topics.probe(name)
    connection = await transport.connect(options, lambda message: None)
    await connection.subscribe(topic)
    await connection.close()
    sender = await bus.sender.link.ready()
    await asyncio.gather(*(sender.publish(topic, b"") for _ in range(_PROBE)))
    received = await _drain(transport, options)
    if received >= _PROBE:
        return Check("message limit", "ok", f"the broker kept all of {_PROBE} queued messages")
    return Check(
        "message limit",
        "failed",
        f"the broker kept {received} of {_PROBE} messages for an absent session, "
        "and acknowledged all",
        "mosquitto.conf: max_queued_messages 0 and max_inflight_messages 0",
    )


async def _drain(transport: AioTransport, options: ConnectOptions) -> int:
    received = 0
    arrived = asyncio.Event()
    connection: Connection | None = None
    early: list[Message] = []

    def take(message: Message) -> None:
        nonlocal received
        if connection is None:
            early.append(message)
            return
        received += 1
        connection.acknowledge(message)
        arrived.set()

    connection = await transport.connect(options, take)
    for message in early:
        take(message)
    try:
        while received < _PROBE:
            arrived.clear()
            await asyncio.wait_for(arrived.wait(), 1.0)
    except TimeoutError:
        pass
    await connection.close(end_session=True)
    return received
