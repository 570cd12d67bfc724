"""Attacks, one by one, and what another client sees meanwhile: `python -m tests.broker.floods`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from routeq_broker import hashed_line
from tests.broker import wire as w
from tests.broker.bounds import BOUNDS, FLAGS, MOSQUITTO
from tests.broker.server import Bystander, Server, server

Attack = Callable[[Server], Awaitable[None]]
Start = Callable[[str, Path], contextlib.AbstractContextManager[Server]]
USERS = ("good", "victim")


async def enter(target: Server, name: str, **options: object) -> w.Wire:
    return await w.Wire.login(target.port, name, user="good", password="good", **options)  # type: ignore[arg-type]


async def wrong_connects_in_one_segment(target: Server) -> None:
    wire = await w.Wire.open(target.port)
    wire.send(w.connect("x", user="good", password="bad") * 1_500)
    with contextlib.suppress(ConnectionError):
        while await wire.next(60) is not None:
            pass


async def wrong_logins_on_many_connections(target: Server) -> None:
    wires = [await w.Wire.open(target.port) for _ in range(150)]
    for wire in wires:
        wire.send(w.connect("x", user="victim", password="bad"))
    await asyncio.sleep(2)
    for wire in wires:
        wire.close()


async def half_connects(target: Server) -> None:
    wires = [await w.Wire.open(target.port) for _ in range(300)]
    for _ in range(10):
        for wire in wires:
            with contextlib.suppress(ConnectionError):
                wire.send(b"\x10")
        await asyncio.sleep(0.1)
    for wire in wires:
        wire.close()


async def subscribes_to_many_retained_messages(target: Server) -> None:
    wire = await enter(target, "filler")
    for number in range(40):
        await wire.publish(f"r/{number}", b"x" * 100_000, retain=True)
    greedy = await enter(target, "greedy")
    for mid in range(1, 201):
        greedy.send(w.subscribe(("r/#", 0), mid=mid))
    await asyncio.sleep(2)
    greedy.close()
    for number in range(40):
        await wire.publish(f"r/{number}", b"", retain=True)
    wire.close()


async def filters_that_match_nothing_retained(target: Server) -> None:
    wire = await enter(target, "filler")
    topics = [f"r/{number}/x" for number in range(10_000)]
    for payload in (b"x", b""):
        for first in range(0, len(topics), 500):
            part = topics[first : first + 500]
            wire.send(*(w.publish(topic, payload, retain=True) for topic in part))
            await wire.barrier()
        if payload:
            greedy = await enter(target, "greedy")
            for mid in range(1, 101):
                greedy.send(w.subscribe((f"+/+/{mid}", 0), mid=mid))
            for _ in range(100):
                await greedy.next(60)
            await greedy.barrier()
            greedy.close()
    wire.close()


async def pings_without_reading(target: Server) -> None:
    wire = await enter(target, "pinger")
    with contextlib.suppress(ConnectionError, TimeoutError):
        for _ in range(200):
            wire.send(w.PINGREQ * 5_000)
            await asyncio.wait_for(wire.writer.drain(), 2)
    wire.close()


async def filters_of_clients_that_come_and_go(target: Server) -> None:
    for number in range(400):
        wire = await enter(target, f"go-{number}")
        wire.send(w.subscribe((f"own/{number}/+", 1), (f"own/{number}", 1)), w.DISCONNECT)
        await wire.next()
        wire.close()


async def many_wildcards(target: Server) -> None:
    wire = await enter(target, "wild")
    for first in range(0, 4_000, 100):
        await wire.subscribe(*((f"w/{first + n}/+", 0) for n in range(100)))
    for number in range(500):
        wire.send(w.publish(f"new/{number}/x", b"x"))
    await wire.barrier()
    wire.close()


async def messages_for_a_session_that_does_not_read(target: Server) -> None:
    slow = await enter(target, "slow", clean=False)
    await slow.subscribe(("slow", 1))
    writer = await enter(target, "writer")
    for number in range(20):
        for mid in range(1, 101):
            writer.send(w.publish("slow", b"x" * 5_000, qos=1, mid=mid))
        for _ in range(100):
            await writer.next(60)
        if not number:
            continue
    slow.close()
    gone = await enter(target, "slow", clean=True)
    gone.close()
    writer.close()


async def a_filter_of_many_levels(target: Server) -> None:
    wire = await enter(target, "deep")
    with contextlib.suppress(ConnectionError, AssertionError):
        wire.send(w.subscribe(("/".join("+" * 20_000), 0)))
        wire.send(w.publish("/".join("a" * 20_000), b"x"))
        await wire.next()
    wire.close()


async def frames_without_reading(target: Server) -> None:
    """On a websocket: PINGs of its own, and packets in frames of one byte."""
    key = base64.b64encode(b"0123456789abcdef").decode()
    _, writer = await asyncio.open_connection("127.0.0.1", target.ws_port)
    writer.write(
        "GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: mqtt\r\n\r\n".encode()
    )

    def frame(kind: int, data: bytes) -> bytes:
        return bytes((0x80 | kind, 0x80 | len(data))) + bytes(4) + data

    writer.write(frame(2, w.connect("frames", user="good", password="good")))
    with contextlib.suppress(ConnectionError, TimeoutError):
        for raw in (frame(9, b""), frame(9, b"x" * 100), frame(2, b"\xc0") + frame(2, b"\0")):
            for _ in range(8):
                writer.write(raw * 20_000)
                await asyncio.wait_for(writer.drain(), 2)
    writer.close()


ATTACKS: tuple[Attack, ...] = (
    wrong_connects_in_one_segment,
    wrong_logins_on_many_connections,
    half_connects,
    subscribes_to_many_retained_messages,
    filters_that_match_nothing_retained,
    pings_without_reading,
    frames_without_reading,
    filters_of_clients_that_come_and_go,
    many_wildcards,
    messages_for_a_session_that_does_not_read,
    a_filter_of_many_levels,
)


def guarded(kind: str, folder: Path) -> contextlib.AbstractContextManager[Server]:
    """A broker with users; the victim's entry is an expensive one."""
    users = folder / "users"
    users.write_text(
        "\n".join(
            hashed_line(name, name, iterations=100_000 if name == "victim" else 101)
            for name in USERS
        )
    )
    return server(kind, folder, "--users", str(users), conf=f"password_file {users}")


def bounded(kind: str, folder: Path) -> contextlib.AbstractContextManager[Server]:
    """A broker with low limits."""
    return server(kind, folder, *FLAGS, conf=MOSQUITTO, listener="max_connections 300")


async def suffered(target: Server, attack: Attack, **login: str) -> float:
    """The longest round trip of another client during an attack, in milliseconds."""
    async with Bystander(target, **login) as bystander:
        await bystander.turns(10)
        async with asyncio.timeout(120):
            await attack(target)
        await bystander.turns(10)
        assert target.alive
        return bystander.worst


FLOODS: tuple[tuple[Start, tuple[Attack, ...], dict[str, str]], ...] = (
    (guarded, ATTACKS, {"user": "good", "password": "good"}),
    (bounded, BOUNDS, {}),
)


async def _table() -> None:
    print(f"{'attack':<46}{'embedded':>12}{'mosquitto':>12}   longest delay of another client")
    for start, attacks, login in FLOODS:
        await _rows(start, attacks, login)


async def _rows(start: Start, attacks: tuple[Attack, ...], login: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        targets = [stack.enter_context(start(k, Path(folder))) for k in ("embedded", "mosquitto")]
        for attack in attacks:
            delays = [await suffered(target, attack, **login) for target in targets]
            cells = "".join(f"{delay:>9.0f} ms" for delay in delays)
            print(f"{attack.__name__:<46}{cells}", flush=True)


if __name__ == "__main__":
    asyncio.run(_table())
