"""Each bound reached by one client, and what another client sees meanwhile; part of `make floods`.

On the embedded broker the bound must show: by the field's answer, beside what it lets through.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

from tests.broker import wire as w
from tests.broker.server import Server

LIMITS = {
    "connections": 300, "sessions": 500, "subscriptions": 1_000, "queued_messages": 500,
    "retained_messages": 500, "packet_size": 100_000, "inflight": 100, "topic_aliases": 10,
    "connect_rate": 100,
}  # fmt: skip
FLAGS = [part for name, value in LIMITS.items() for part in ("--limit", f"{name}={value}")]
MOSQUITTO = "max_queued_messages 500\nmax_packet_size 100000\nmax_inflight_messages 100"
"""Those of the bounds that mosquitto has."""


def shows(target: Server, seen: Counter[int], code: int, least: int = 1) -> None:
    """The embedded broker has answered with a reason code."""
    assert target.kind != "embedded" or seen[code] >= least, (hex(code), seen)


async def code_of(wire: w.Wire) -> int:
    """The reason of the next packet; -1: the connection has ended without one."""
    with contextlib.suppress(ConnectionError):
        got = await wire.next(60)
        return -1 if got is None else got.code
    return -1


async def crowd(
    target: Server, number: int, name: str, *, clean: bool, source: str
) -> list[w.Wire]:
    """Connections from one address that have sent their CONNECT."""
    opened = (w.Wire.open(target.port, 5, source=source) for _ in range(number))
    wires = await asyncio.gather(*opened)
    for one, wire in enumerate(wires):
        more = () if clean else ((w.SESSION_EXPIRY, 300),)
        wire.send(w.connect(f"{name}-{one}", level=5, clean=clean, more=more))
    return wires


async def more_connections_than_allowed(target: Server) -> None:
    wires = await crowd(target, 600, "many", clean=True, source="127.0.0.2")
    seen = Counter([await code_of(wire) for wire in wires])
    for wire in wires:
        wire.close()
    assert seen[0] <= LIMITS["connections"]
    shows(target, seen, 0x97)


async def more_sessions_than_allowed(target: Server) -> None:
    seen: Counter[int] = Counter()
    for part in range(4):
        wires = await crowd(target, 200, f"kept-{part}", clean=False, source="127.0.0.3")
        seen.update([await code_of(wire) for wire in wires])
        for wire in wires:
            wire.close()
    shows(target, seen, 0x97, least=100)
    for part in range(4):
        wires = await crowd(target, 200, f"kept-{part}", clean=True, source="127.0.0.4")
        for wire in wires:
            await code_of(wire)
            wire.close()


async def more_subscriptions_than_allowed(target: Server) -> None:
    wire = await w.Wire.login(target.port, "greedy", 5)
    seen: Counter[int] = Counter()
    for first in range(0, 10_000, 500):
        seen.update(await wire.subscribe(*((f"s/{first + one}/+", 0) for one in range(500))))
    wire.close()
    shows(target, seen, 0x97, least=9_000)


async def publish_many(target: Server, topics: list[str], *, retain: bool) -> Counter[int]:
    """Messages of QoS 1, 50 at once: the reasons of their acknowledgements."""
    wire = await w.Wire.login(target.port, "publisher", 5)
    seen: Counter[int] = Counter()
    for first in range(0, len(topics), 50):
        part = topics[first : first + 50]
        for mid, topic in enumerate(part, 1):
            wire.send(w.publish(topic, b"x" * 500, level=5, qos=1, mid=mid, retain=retain))
        seen.update([await code_of(wire) for _ in part])
    wire.close()
    return seen


async def more_waiting_messages_than_allowed(target: Server) -> None:
    more = ((w.SESSION_EXPIRY, 300),)
    away = await w.Wire.login(target.port, "away", 5, clean=False, more=more)
    await away.subscribe(("away", 1))
    away.send(w.DISCONNECT)
    await away.ended()
    shows(target, await publish_many(target, ["away"] * 2_000, retain=False), 0x97, least=1_500)
    gone = await w.Wire.login(target.port, "away", 5)
    gone.close()


async def more_retained_messages_than_allowed(target: Server) -> None:
    topics = [f"r/{number}" for number in range(2_000)]
    shows(target, await publish_many(target, topics, retain=True), 0x97, least=1_400)


async def a_queue_that_no_worker_serves(target: Server) -> None:
    """It has the disk, and no bound: all are taken."""
    seen = await publish_many(target, ["$queue/full"] * 2_000, retain=False)
    shows(target, seen, 0, least=2_000)


async def broken_rules(target: Server, raw: bytes, code: int) -> None:
    """On 30 connections, one after the other, something that ends each of them."""
    seen: Counter[int] = Counter()
    for _ in range(30):
        wire = await w.Wire.login(target.port, "wrong", 5)
        with contextlib.suppress(ConnectionError):
            wire.send(raw)
            while (got := await wire.next(5)) is not None and got.kind != 14:
                pass
            seen.update([] if got is None else [got.code])
        wire.close()
    shows(target, seen, code, least=30)


async def larger_packets_than_allowed(target: Server) -> None:
    await broken_rules(target, b"\x30\xff\xff\xff\x7f" + b"x" * 50_000, 0x95)


async def higher_topic_aliases_than_allowed(target: Server) -> None:
    await broken_rules(target, w.publish("t", b"x", level=5, more=((w.ALIAS, 60_000),)), 0x94)


async def more_unacknowledged_messages_than_allowed(target: Server) -> None:
    """The CONNECT at the end is for a broker that takes them all."""
    raw = b"".join(w.publish("t", b"x", level=5, qos=2, mid=mid) for mid in range(1, 120))
    await broken_rules(target, raw + w.connect("again", level=5), 0x93)


async def connects_faster_than_allowed(target: Server) -> None:
    seen: Counter[int] = Counter()
    for part in range(8):
        wires = await crowd(target, 200, f"fast-{part}", clean=True, source="127.0.0.5")
        seen.update([await code_of(wire) for wire in wires])
        for wire in wires:
            wire.close()
    shows(target, seen, 0x9F)


BOUNDS = (
    more_connections_than_allowed,
    more_sessions_than_allowed,
    more_subscriptions_than_allowed,
    more_waiting_messages_than_allowed,
    more_retained_messages_than_allowed,
    a_queue_that_no_worker_serves,
    larger_packets_than_allowed,
    higher_topic_aliases_than_allowed,
    more_unacknowledged_messages_than_allowed,
    connects_faster_than_allowed,
)
