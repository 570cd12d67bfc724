"""Sends every topic of the table what nobody should, through real processes, and sees what stands.

Retained topics end with a message that nobody can read; then everything is restarted on what is
retained and stored, and a job must run.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from routeq_mqtt import Bus, RouteqError
from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.messages.broker import BrokerStatus
from routeq_mqtt.wire.table import KINDS, Kind
from tests.cluster.jobs import Report
from tests.gate.mutate import mutations
from tests.gate.samples import METHODS, SAMPLES, Samples

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster
    from tests.cluster.process import Process

PATTERN = "sensors/gate"
COMMANDS = (
    ("workers",),
    ("workers", "--json"),
    ("queues",),
    ("queues", "--json"),
    ("devices",),
    ("doctor",),
    ("failed", "list"),
    ("schedule", "list"),
    ("triggers", "list"),
    ("health", "--scheduler"),
)

_WINDOW = 200
"""Messages on their way at once."""


class Attack:
    """One broker's run.

    Args:
        cluster: with a broker that runs.
        messages: to each topic.
        seed: decides what they say.
    """

    def __init__(self, cluster: Cluster, messages: int, seed: int) -> None:
        self.sent: Counter[str] = Counter()
        self._cluster = cluster
        self._messages = messages
        self._seed = seed
        self._roles: list[Process] = []
        self._worker = ""

    async def run(self) -> None:
        """Attack, look, restart, look again."""
        await self._start()
        async with self._cluster.bus() as bus:
            trigger = {"pattern": PATTERN, "job": "Report", "queue": "mutated"}
            await self._cluster.ask_until(bus, "trigger.add", bool, **trigger)
            self._worker = await _worker_id(bus)
            for kind in KINDS:
                await self._attack(bus, kind)
            for number, (method, samples) in enumerate(METHODS.items()):
                await self._send(bus, f"routeq/rpc/{method}", samples, 1_000 + number)
        await self._stands("after the messages")
        await self._restart()
        await self._stands("after a restart on what is retained")

    async def _start(self) -> None:
        self._roles = [
            await self._cluster.scheduler(),
            await self._cluster.worker("default,mutated", "--concurrency", "4", "--name", "gate"),
        ]

    async def _restart(self) -> None:
        for role in self._roles:
            await role.kill()
        await self._cluster.restart_broker()
        await self._start()

    # -- messages ------------------------------------------------------------------------------

    async def _attack(self, bus: Bus, kind: Kind) -> None:
        samples = SAMPLES[kind.name]
        for number, topic in enumerate(self._topics(kind)):
            seed = 100 * KINDS.index(kind) + number
            await self._send(bus, topic, samples, seed, kind)
            if kind.retained and not kind.anything:
                # What is left is what nobody can read.
                last = next(
                    p
                    for p in mutations(samples.values, samples.form, seed)
                    if p and not _reads(kind, p)
                )
                await self._publish(bus, topic, [last], retain=True)

    def _topics(self, kind: Kind) -> list[str]:
        """Of a stranger; and of a worker that is there, where its own may be written over."""
        if kind.name == "reading":
            return [PATTERN]
        names = {
            "<id>": "x",
            "<client id>": "x/a",
            "<method>": "none",
            "<kind>": "paused",
            "<name>": "x",
        }
        if kind.name in {"job", "delivery", "intake", "durable dispatch"}:
            names["<name>"] = "mutated"
        stranger = re.sub(r"<[^>]*>", lambda found: names.get(found.group(), "x"), kind.topic)
        own = {
            "worker status": f"routeq/workers/{self._worker}",
            "worker load": f"routeq/running/{self._worker}",
            "dealt": f"routeq/deal/{self._worker}/mutated",
            "session": f"routeq/session/{self._worker}/default",
            "share": f"routeq/share/{self._worker}",
        }.get(kind.name)
        return [stranger] if own is None else [stranger, own]

    async def _send(
        self, bus: Bus, topic: str, samples: Samples, seed: int, kind: Kind | None = None
    ) -> None:
        more = mutations(samples.values, samples.form, self._seed * 100_000 + seed)
        payloads = [
            p for p in islice(more, self._messages) if not self._says_too_much(topic, kind, p)
        ]
        retain = kind is not None and kind.retained
        for at in range(0, len(payloads), _WINDOW):
            await self._publish(bus, topic, payloads[at : at + _WINDOW], retain=retain)
        self.sent[topic] += len(payloads)

    def _says_too_much(self, topic: str, kind: Kind | None, payload: bytes) -> bool:
        """What is well said by who may say it: that the broker is another one, a worker's end."""
        if kind is None or not _reads(kind, payload):
            return False
        if kind.name == "broker status":
            return (
                payload == b""
                or BrokerStatus.decode(payload).shares_queue != self._cluster.shares_queue
            )
        return self._worker in topic and kind.name == "worker status"

    async def _publish(self, bus: Bus, topic: str, payloads: list[bytes], *, retain: bool) -> None:
        """At QoS 1; again, where the connection was lost meanwhile."""
        async with asyncio.timeout(120):
            while True:
                try:
                    connection = await bus.sender.link.ready()
                    sent = [connection.publish(topic, one, retain=retain) for one in payloads]
                    await asyncio.gather(*sent)
                except RouteqError:
                    continue
                return

    # -- what stands ---------------------------------------------------------------------------

    async def _stands(self, when: str) -> None:
        """Every process runs, no command ends in a traceback, and a job runs."""
        key = f"job {when}"
        async with self._cluster.bus(timeout=60.0) as bus:
            await self._cluster.ask_until(bus, "ping", bool)
            await bus.dispatch(Report(key=key), confirm="stored")
            await self._cluster.recorder.wait(lambda: key in self._cluster.recorder.ran(), key)
        for command in COMMANDS:
            _, output = await self._cluster.cli(*command)
            assert "Traceback" not in output, (when, command, output[-3_000:])
        for process in (self._cluster.broker, *self._roles):
            assert process is not None
            assert process.running, (when, process.name, process.output[-3_000:])
            assert "Traceback" not in process.output, (when, process.name, _tracebacks(process))


def _reads(kind: Kind, payload: bytes) -> bool:
    try:
        kind.decode(payload)
    except UnreadableMessage:
        return False
    return True


async def _worker_id(bus: Bus) -> str:
    await bus.sizes.refresh()
    [status] = bus.sizes.fleet.online()
    return status.id


def _tracebacks(process: Process) -> str:
    at = process.output.index("Traceback")
    return process.output[max(0, at - 500) : at + 3_000]
