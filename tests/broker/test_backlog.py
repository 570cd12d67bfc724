"""What waits for a client that reads slowly, or accepts little at once."""

from __future__ import annotations

import asyncio

from tests.broker.conftest import Start
from tests.broker.wire import PUBACK, Wire, ack, publish


async def test_qos_0_waits_a_while_in_order_and_is_dropped_beyond(start: Start) -> None:
    broker = await start()
    reader = await Wire.login(broker.port, "reader")
    await reader.subscribe(("t", 0))
    writer = await Wire.login(broker.port, "writer")
    size, count = 50_000, 400
    for number in range(count):
        writer.send(publish("t", b"%06d" % number + b"x" * size))
    await writer.barrier()
    session = broker._clients.sessions["reader"]  # type: ignore[union-attr]
    assert session.dropped
    assert 0 < session.pending.bytes < (1 << 20) + 2 * size
    assert len(session.pending) == session.pending.unsafe
    came: list[int] = []
    while len(came) + session.dropped < count:
        came.append(int((await reader.get(3)).payload[:6]))
    assert came == sorted(set(came))
    assert await reader.barrier() == []
    assert not session.pending.bytes


async def test_a_burst_of_qos_0_reaches_a_client_that_reads(start: Start) -> None:
    """What one turn of the loop brings is more than goes out in one; nothing is lost by that."""
    broker = await start()
    reader = await Wire.login(broker.port, "reader")
    await reader.subscribe(("t", 0))
    sent = [bytes((number,)) * 40_000 for number in range(20)]
    writer = await Wire.login(broker.port, "writer")
    writer.send(*(publish("t", payload) for payload in sent))
    async with asyncio.timeout(10):
        assert [(await reader.get(3)).payload for _ in sent] == sent


async def test_qos_0_passes_while_the_receive_maximum_is_reached(start: Start) -> None:
    """Also with a new subscription, whose retained messages have to wait."""
    broker = await start()
    writer = await Wire.login(broker.port, "writer", 5)
    await writer.publish("kept/1", b"safe", retain=True)
    writer.send(publish("kept/0", b"unsafe", level=5, retain=True))
    reader = await Wire.login(broker.port, "reader", 5, more=((33, 1),))
    await reader.subscribe(("t", 1))
    await writer.publish("t", b"held")
    held = await reader.get(3)
    await reader.subscribe(("kept/0", 1), ("live", 0))
    writer.send(publish("live", b"now", level=5))
    assert [(await reader.get(3)).payload for _ in range(2)] == [b"unsafe", b"now"]
    await reader.subscribe(("kept/1", 1))
    assert await reader.barrier() == []
    reader.send(ack(PUBACK, held.mid))
    assert (await reader.get(3)).payload == b"safe"
