"""Mutated packets on the wire: `make fuzz SEED=7 SECONDS=600`.

Both protocol levels, before and after a login, over TCP and websockets. Afterwards the broker is
alive, has logged no traceback, holds no more files and hardly more memory than before, and another
client was served all the time; its longest round trip is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.broker import wire as w
from tests.broker.server import Bystander, Server, server

_AT_ONCE = 8
_MEMORY = 40.0
"""Megabytes that it may grow: what mutated packets legally retain and subscribe to."""


def samples(level: int) -> list[bytes]:
    """Packets as clients send them."""
    five = level == 5
    more = ((w.USER, ("k", "v")), (w.EXPIRY, 9), (w.ALIAS, 1)) if five else ()
    return [
        w.publish("a/b", b"x" * 20, level=level, qos=0, retain=True),
        w.publish("a/b", b"x" * 200, level=level, qos=1, mid=3, more=more),
        w.publish("a/c", b"", level=level, qos=2, mid=4, more=more),
        w.subscribe(("a/+", 1), ("$share/g/a/#", 2), level=level, mid=5),
        w.subscribe(("$share/g/$queue/q", 1), level=level, mid=6),
        w.publish("$queue/q", b"job", level=level, qos=1, mid=7),
        w.publish("routeq/broker/window", b"5", level=level, qos=1, mid=8),
        w.publish("routeq/broker/back", b"\0\1", level=level, qos=1, mid=9),
        w.unsubscribe("a/+", level=level, mid=10),
        w.ack(w.PUBACK, 1), w.ack(w.PUBREC, 2), w.ack(w.PUBREL, 4), w.ack(w.PUBCOMP, 2),
        w.PINGREQ, w.DISCONNECT,
        w.connect("fuzz", level=level, will=("w", b"x"), will_retain=True),
    ]  # fmt: skip


def mutated(raw: bytes, dice: random.Random) -> bytes:
    """A packet with a few things wrong."""
    data = bytearray(raw)
    for _ in range(dice.randint(0, 4)):
        at = dice.randrange(len(data)) if data else 0
        kind = dice.randrange(6)
        if kind == 0 and data:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1 and data:
            data[at] = dice.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            del data[at : at + dice.randint(1, 8)]
        elif kind == 3:
            data[at:at] = dice.randbytes(dice.randint(1, 8))
        elif kind == 4 and len(data) > 1:
            data[1] = dice.randrange(256)
        else:
            data += data[at : at + 16]
    return bytes(data)


@dataclass
class Report:
    """What came of it."""

    packets: int
    connections: int
    worst: float
    memory: tuple[float, float]
    files: tuple[int, int]

    def __str__(self) -> str:
        return (
            f"packets={self.packets} connections={self.connections} "
            f"worst delay of another client={self.worst:.0f} ms "
            f"memory={self.memory[0]:.1f} -> {self.memory[1]:.1f} MB "
            f"files={self.files[0]} -> {self.files[1]}"
        )


class Fuzzer:
    """Sends until its time is over."""

    def __init__(self, target: Server, seed: int) -> None:
        self.target, self.seed = target, seed
        self.packets = self.connections = 0

    async def run(self, until: float) -> None:
        dice = [random.Random(f"{self.seed}/{number}") for number in range(_AT_ONCE)]
        await asyncio.gather(*(self._client(one, until) for one in dice))

    async def _client(self, dice: random.Random, until: float) -> None:
        while time.monotonic() < until:
            self.connections += 1
            with contextlib.suppress(ConnectionError, TimeoutError):
                await self._connection(dice, until)

    async def _connection(self, dice: random.Random, until: float) -> None:
        level = dice.choice((4, 5))
        port = dice.choice((self.target.port, self.target.port, self.target.ws_port))
        wire = await w.Wire.open(port, level)
        try:
            if dice.random() < 0.8:
                name = f"fuzz-{dice.randrange(50)}"
                more = ((17, dice.choice((0, 5))),) if level == 5 else ()
                wire.send(w.connect(name, level=level, clean=dice.random() < 0.5, more=more))
            for _ in range(dice.randint(1, 60)):
                if wire.reader.at_eof() or time.monotonic() > until:
                    return
                wire.send(mutated(dice.choice(samples(level)), dice))
                self.packets += 1
                await asyncio.wait_for(wire.writer.drain(), 5)
                if dice.random() < 0.5:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(wire.reader.read(1 << 16), 0.01)
        finally:
            wire.close()


async def fuzz(target: Server, seed: int, seconds: float) -> Report:
    """Fuzz a broker, and look at it afterwards."""
    fuzzer = Fuzzer(target, seed)
    async with Bystander(target) as bystander:
        await bystander.turns(5)
        await fuzzer.run(time.monotonic() + min(1.0, seconds / 4))  # it has warmed up
        memory, files = target.memory, target.files
        await fuzzer.run(time.monotonic() + seconds)
        await bystander.turns(5)
        report = Report(
            fuzzer.packets, fuzzer.connections, bystander.worst, (memory, target.memory),
            (files, target.files),
        )  # fmt: skip
    assert target.alive, "the broker died"
    assert not target.tracebacks(), f"a traceback in {target.folder}"
    assert report.files[1] <= report.files[0] + 2 * _AT_ONCE, report
    assert report.memory[1] < report.memory[0] + _MEMORY, report
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--broker", default="embedded", choices=("embedded", "mosquitto"))
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        server(arguments.broker, Path(folder)) as target,
    ):
        print(asyncio.run(fuzz(target, arguments.seed, arguments.seconds)))


if __name__ == "__main__":
    main()
