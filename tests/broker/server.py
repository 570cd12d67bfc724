"""Broker processes that raw clients meet, and what such a process takes."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from socket import create_connection
from typing import IO, Any

from tests.broker.wire import Wire, publish
from tests.cluster.cluster import free_port, mosquitto

ROOT = Path(__file__).parents[2]


class Server:
    """A broker process.

    Args:
        kind: ``embedded`` or ``mosquitto``.
        folder: of its files.
        *flags: of the embedded broker.
        conf: further lines of mosquitto's configuration.
        listener: further lines for its listener.
    """

    def __init__(
        self, kind: str, folder: Path, *flags: str, conf: str = "", listener: str = ""
    ) -> None:
        self.kind, self.folder = kind, folder
        self.port, self.ws_port = free_port(), free_port()
        self.log: IO[bytes] = (folder / f"{kind}.log").open("wb")
        self.process = subprocess.Popen(
            self._embedded(flags) if kind == "embedded" else self._mosquitto(conf, listener),
            stdout=self.log,
            stderr=self.log,
            cwd=ROOT / "broker",
        )
        for port in (self.port, self.ws_port):
            self._wait(port)

    def _embedded(self, flags: tuple[str, ...]) -> list[str]:
        return [
            sys.executable, "-m", "routeq_broker", "--bind", f"127.0.0.1:{self.port}",
            "--ws-bind", f"127.0.0.1:{self.ws_port}", "--db", str(self.folder / "broker.db"),
            *flags,
        ]  # fmt: skip

    def _mosquitto(self, more: str, listener: str) -> list[str]:
        conf = self.folder / "mosquitto.conf"
        access = "" if "password_file" in more else "allow_anonymous true\n"
        conf.write_text(
            f"{access}user root\nmax_topic_alias 10\n{more}\n"
            f"listener {self.port} 127.0.0.1\n{listener}\n"
            f"listener {self.ws_port} 127.0.0.1\nsocket_domain ipv4\nprotocol websockets\n"
        )
        return [str(mosquitto()), "-c", str(conf)]

    def _wait(self, port: int) -> None:
        end = time.monotonic() + 30
        while True:
            try:
                create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                assert time.monotonic() < end, "the broker did not start"
                assert self.alive, "the broker ended"
                time.sleep(0.05)
            else:
                return

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def memory(self) -> float:
        """Megabytes that are resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1_024

    @property
    def files(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def cpu(self) -> float:
        """Seconds of a processor."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def tracebacks(self) -> int:
        return (self.folder / f"{self.kind}.log").read_bytes().count(b"Traceback")

    def stop(self) -> None:
        alive = self.alive
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        assert alive, "the broker died"
        assert self.process.returncode == 0


@contextlib.contextmanager
def server(
    kind: str, folder: Path, *flags: str, conf: str = "", listener: str = ""
) -> Iterator[Server]:
    one = Server(kind, folder, *flags, conf=conf, listener=listener)
    try:
        yield one
    finally:
        one.stop()


class Bystander:
    """A client that does no harm: how long its round trips take meanwhile."""

    def __init__(self, server: Server, **login: Any) -> None:
        self.server, self.login = server, login
        self.delays: list[float] = []
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Bystander:
        self._wire = await Wire.login(self.server.port, "bystander", **self.login)
        await self._wire.subscribe(("bystander", 0))
        self._task = asyncio.create_task(self._watch(self._wire))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        if self._task.done():
            self._task.result()
        self._task.cancel()
        await asyncio.wait({self._task})
        assert self._wire is not None
        self._wire.close()

    async def _watch(self, wire: Wire) -> None:
        while True:
            began = time.perf_counter()
            wire.send(publish("bystander", b"x"))
            got = await wire.next(300.0)
            assert got is not None, "the bystander was cut off"
            self.delays.append(time.perf_counter() - began)
            await asyncio.sleep(0.01)

    async def turns(self, number: int) -> None:
        """Wait until it was served so often more."""
        wanted = len(self.delays) + number
        assert self._task is not None
        while len(self.delays) < wanted:
            assert not self._task.done(), self._task.exception()
            await asyncio.sleep(0.01)

    @property
    def worst(self) -> float:
        """Milliseconds."""
        return max(self.delays) * 1_000
