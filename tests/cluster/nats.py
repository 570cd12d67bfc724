"""nats-server, of what is installed: one, or several that are a JetStream cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.cluster.cluster import free_port
from tests.cluster.foreign import nats
from tests.cluster.process import Process, until_listening
from tests.cluster.recorder import TIMEOUT

_OK = b" 200 OK"


class NatsNodes:
    """The servers of one NATS, on the loopback.

    Args:
        folder: for everything that they keep.
        ports: where each of them speaks MQTT; so many servers there are.

    Attributes:
        ack_wait: seconds after which what was not acknowledged is delivered again.
        ack_window: messages of one subscription that are delivered without an acknowledgement.
    """

    name = "nats"

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.ports = ports
        self.ack_wait = 2
        self.ack_window = 1_000
        self._folder = folder
        self._clients = [free_port() for _ in ports]
        self._routes = [free_port() for _ in ports]
        self._monitors = [free_port() for _ in ports]

    async def start(self, at: int) -> Process:
        """Start a server."""
        conf = self._folder / f"nats-{at}.conf"
        conf.write_text("\n".join(self._conf(at)) + "\n")
        return await Process.start(f"nats {at}", str(nats()), "-c", str(conf))

    async def ready(self, at: int, process: Process) -> None:
        """Wait until it takes clients, and has what the others have."""
        await until_listening(self.ports[at], process)
        async with asyncio.timeout(TIMEOUT):
            while not await self._is_healthy(at):
                assert process.running, process.output
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        """There is nothing beside the servers."""

    async def _is_healthy(self, at: int) -> bool:
        """What its monitoring says: 503 until its streams and consumers have caught up."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._monitors[at])
        except OSError:
            return False
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        line = await reader.readline()
        writer.close()
        return _OK in line

    def _conf(self, at: int) -> list[str]:
        number = len(self.ports)
        replicas = f", stream_replicas: {number}, consumer_replicas: {number}" * (number > 1)
        lines = [
            f"listen: 127.0.0.1:{self._clients[at]}",
            f"http: 127.0.0.1:{self._monitors[at]}",
            f"server_name: routeq-{at}",
            f'jetstream {{ store_dir: "{self._folder}/nats-{at}" }}',
            f"mqtt {{ listen: 127.0.0.1:{self.ports[at]}, max_ack_pending: {self.ack_window}, "
            f'ack_wait: "{self.ack_wait}s"{replicas} }}',
        ]
        if number > 1:
            routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes)
            lines.append(
                f"cluster {{ name: routeq, listen: 127.0.0.1:{self._routes[at]}, "
                f"routes: [{routes}] }}"
            )
        return lines
