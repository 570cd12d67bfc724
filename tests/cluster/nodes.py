"""RabbitMQ or NATS as a cluster of nodes, or as one: a bus on it, whose scheduler deals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from tests.cluster.cluster import Cluster, free_port
from tests.cluster.foreign import Foreign, nats, rabbitmq
from tests.cluster.nats import NatsNodes
from tests.cluster.process import Process
from tests.cluster.rabbitmq import RabbitNodes
from tests.cluster.recorder import Recorder

INSTALLED: dict[Foreign, Callable[[], str | None]] = {"rabbitmq": rabbitmq, "nats": nats}
"""Where each of them is."""


class NodesCluster(Cluster):
    """A bus on a broker that shares nothing; its scheduler deals.

    Args:
        broker: which one.
        folder: for everything that it keeps.
        recorder: what jobs report to.
        nodes: so many are one broker; default 1.

    Attributes:
        nodes: the processes; None: that node was not started yet.
    """

    def __init__(
        self, broker: Foreign, folder: Path, recorder: Recorder, *, nodes: int = 1
    ) -> None:
        super().__init__("stock", folder, recorder)
        self.foreign = broker
        ports = [self.port, *(free_port() for _ in range(nodes - 1))]
        kind = NatsNodes if broker == "nats" else RabbitNodes
        self._kind: NatsNodes | RabbitNodes = kind(folder, ports)
        self.nodes: list[Process | None] = [None] * nodes
        self.url = self.url_from(0)
        self.extra_env["ROUTEQ_SHARING"] = "scheduler"

    @property
    def ports(self) -> list[int]:
        """Where each node speaks MQTT."""
        return self._kind.ports

    @property
    def keeps_acknowledged(self) -> bool:
        return True

    @property
    def brokers(self) -> list[Process]:
        return [node for node in self.nodes if node is not None and node.running]

    def limit_unacknowledged(self, most: int) -> None:
        """Let NATS deliver so many messages without an acknowledgement, from its next start on."""
        if isinstance(self._kind, NatsNodes):
            self._kind.ack_window = most

    def url_from(self, first: int) -> str:
        """All addresses, beginning with one of them."""
        ports = self._kind.ports[first:] + self._kind.ports[:first]
        return ",".join(f"mqtt://127.0.0.1:{port}" for port in ports)

    async def start_broker(self) -> None:
        # NATS is there when most of its servers are; a RabbitMQ joins those that are there.
        together = self.foreign == "nats"
        for at in range(len(self.nodes)):
            await self.start_node(at, wait=not together)
        if together:
            await asyncio.gather(*(self.node_ready(at) for at in range(len(self.nodes))))
        self.broker = self.nodes[0]

    async def start_node(self, at: int, *, wait: bool = True) -> None:
        """Start a node, for the first time or again."""
        self.nodes[at] = await self._kind.start(at)
        if wait:
            await self.node_ready(at)

    async def node_ready(self, at: int) -> None:
        """Wait until a node takes clients and has what the others have."""
        process = self.nodes[at]
        assert process is not None
        await self._kind.ready(at, process)

    async def kill_node(self, at: int) -> None:
        """kill -9."""
        process = self.nodes[at]
        assert process is not None
        await process.kill()

    async def stop_broker(self, number: signal.Signals = signal.SIGTERM) -> None:
        running = self.brokers
        for node in running:
            node.send(number)
        for node in running:
            await node.ended()

    async def standby_at(self, first: int) -> Process:
        """A scheduler that waits for the database of `scheduler`, and begins at a node."""
        process = await Process.cli(
            "standby", "scheduler", "--standby", "--db", str(self.db),
            env=self.env | {"ROUTEQ_URL": self.url_from(first)},
        )  # fmt: skip
        self.processes.append(process)
        await process.says("standby, the leader is host=")
        return process

    async def close(self) -> None:
        await super().close()
        await self.stop_broker(signal.SIGKILL)
        await self._kind.close()
