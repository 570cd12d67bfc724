"""A user who may send nothing gets an error that says so, however the broker refuses."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from routeq_mqtt import Bus, Job, NoScheduler, PublishRefused
from routeq_mqtt.testing.memory.broker import BrokerOptions, MemoryBroker
from routeq_mqtt.testing.memory.transport import MemoryTransport
from routeq_mqtt.transport.base import Connection, ConnectOptions, OnMessage


class NeverSent(Job):
    async def handle(self) -> None: ...


class Transport(MemoryTransport):
    """Counts connections."""

    connects = 0

    async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
        self.connects += 1
        return await super().connect(options, on_message)


def broker_that(*, may_write: str = "", mqtt5: bool = True, ends: bool = True) -> Transport:
    """Everybody may read, and write to one topic's subtree."""

    def allow(client_id: str, action: str, topic: str) -> bool:
        return action == "subscribe" or bool(may_write and topic.startswith(may_write))

    return Transport(MemoryBroker(BrokerOptions(mqtt5=mqtt5, allow=allow, ends_refused=ends)))


Send = Callable[[Bus], Awaitable[object]]


async def refused(send: Send, *, mqtt5: bool) -> int:
    """Connections until a bus of its own was told so."""
    transport = broker_that(mqtt5=mqtt5)
    async with Bus(transport=transport) as bus:
        with pytest.raises(PublishRefused, match="access control"):
            await send(bus)
    return transport.connects


@pytest.mark.parametrize("mqtt5", [True, False])
async def test_a_dispatch_of_who_may_write_nothing_is_refused(mqtt5: bool) -> None:
    ways: list[Send] = [
        lambda bus: bus.dispatch(NeverSent()),
        lambda bus: bus.dispatch(NeverSent(), delay=1.0),
        lambda bus: bus.dispatch(NeverSent(), confirm="stored"),
        lambda bus: bus.bulk([NeverSent(), NeverSent()]),
        lambda bus: bus.broadcast(NeverSent()),
    ]
    connects = await asyncio.gather(*(refused(send, mqtt5=mqtt5) for send in ways))
    assert max(connects) < 15


async def test_one_connection_is_enough_to_learn_that_the_probe_is_refused() -> None:
    transport = broker_that(may_write="$queue/")
    async with Bus(transport=transport) as bus:
        with pytest.raises(NoScheduler):  # nobody reads it, that is all
            await bus.requests.call("ping", timeout=0.0)
    assert transport.connects <= 3


async def test_a_refused_queue_does_not_cost_the_others_their_jobs() -> None:
    transport = broker_that(may_write="$queue/mine", mqtt5=False)
    broker = transport.broker
    reader = await transport.connect(ConnectOptions("reader"), lambda message: None)
    await reader.subscribe("$queue/mine")
    async with Bus(transport=transport) as bus:
        results: Counter[str] = Counter()
        for queue in ("mine", "theirs", "mine"):
            try:
                await bus.dispatch(NeverSent(), queue=queue)
                results["sent"] += 1
            except PublishRefused:
                results["refused"] += 1
    assert results == {"sent": 2, "refused": 1}
    assert broker.running
