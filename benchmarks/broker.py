"""The embedded broker by itself: `python -m benchmarks.broker`.

The rate of durable messages when producers wait for each acknowledgement (they share one fsync),
and the cost of connected clients that send little.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import tempfile
import time
from pathlib import Path
from typing import cast

from tests.broker import wire as w
from tests.broker.server import Server, server

_CONNACK, _PUBACK = b"\x20\x02", b"\x40\x02"


class Producer(asyncio.Protocol):
    """Sends one message after the other, each when the one before is acknowledged.

    It costs as little as possible, so that the broker is measured and not the producers.
    """

    def __init__(self, number: int) -> None:
        self.acknowledged = 0
        self._login = w.connect(f"p{number}")
        self._message = w.publish(f"$queue/{number}", b"x" * 200, qos=1)
        self._transport: asyncio.Transport | None = None
        self._answer = _CONNACK

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._login)

    def data_received(self, data: bytes) -> None:
        """The CONNACK or a PUBACK, four bytes: the next message."""
        if data[:2] != self._answer:
            raise RuntimeError(f"not the expected answer: {data!r}")
        self.acknowledged += self._answer == _PUBACK
        self._answer = _PUBACK
        if self._transport is not None:
            self._transport.write(self._message)

    def stop(self) -> None:
        """Cut it off."""
        if self._transport is not None:
            self._transport.abort()


async def one_by_one(target: Server, producers: int, seconds: float) -> tuple[float, float]:
    """Messages a second of all producers together, and percent of a processor of the broker."""
    loop = asyncio.get_running_loop()
    made = [Producer(number) for number in range(producers)]
    for one in made:
        await loop.create_connection(lambda one=one: one, "127.0.0.1", target.port)  # type: ignore[misc]
    cpu, began = target.cpu, time.monotonic()
    before = sum(one.acknowledged for one in made)
    await asyncio.sleep(seconds)
    passed = time.monotonic() - began
    count = sum(one.acknowledged for one in made) - before
    used = 100 * (target.cpu - cpu) / passed
    for one in made:
        one.stop()
    return count / passed, used


async def crowd(target: Server, clients: int, seconds: float) -> tuple[float, float]:
    """Kilobytes of memory per client, and percent of a processor for all clients together.

    Each sends one message a minute.
    """
    before = target.memory
    wires = []
    for first in range(0, clients, 100):
        names = (f"crowd-{first + one}" for one in range(min(100, clients - first)))
        logins = (w.Wire.login(target.port, name, keep_alive=0) for name in names)
        wires += await asyncio.gather(*logins)
        await asyncio.sleep(0.5)  # within the limit of connects a second
    for number, wire in enumerate(wires):
        wire.send(w.subscribe((f"crowd/{number}/+", 1)))
        await wire.get(9)
    memory = (target.memory - before) * 1_024 / clients
    cpu, began = target.cpu, time.monotonic()
    sent = 0
    while (passed := time.monotonic() - began) < seconds:
        while sent < passed * clients / 60:
            wires[sent % clients].send(w.publish(f"crowd/{sent % clients}/x", b"x" * 50))
            sent += 1
        await asyncio.sleep(0.01)
    used = 100 * (target.cpu - cpu) / (time.monotonic() - began)
    for wire in wires:
        wire.close()
    return memory, used


def measure(kind: str, clients: int, seconds: float) -> None:
    """Print both figures of one broker."""
    with tempfile.TemporaryDirectory() as folder, server(kind, Path(folder)) as target:
        for producers in (1, 10, 100):
            rate, cpu = asyncio.run(one_by_one(target, producers, seconds))
            print(
                f"{kind:<10}{producers:>4} producers, one by one: {rate:,.0f} messages/s, "
                f"{cpu:.0f} % of a processor",
                flush=True,
            )
        memory, cpu = asyncio.run(crowd(target, clients, seconds))
        print(
            f"{kind:<10}{clients:,} clients with a message a minute each: "
            f"{memory:.1f} kB for each, {cpu:.1f} % of a processor",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--broker", default="both", choices=("embedded", "mosquitto", "both"))
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kinds = ("embedded", "mosquitto") if arguments.broker == "both" else (arguments.broker,)
    for kind in kinds:
        measure(kind, arguments.clients, arguments.seconds)


if __name__ == "__main__":
    main()
