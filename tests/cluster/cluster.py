"""A bus under test: one broker of a kind, and whatever a test starts on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from routeq_mqtt import Bus, ConnectionFailed, NoScheduler, QueueSize
from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace, PostgresUrl
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.topics import Topics
from tests.cluster.process import ROOT, Process, until_listening
from tests.cluster.recorder import TIMEOUT, Recorder
from tests.faults.scheduler import VARIABLE as DIE_AT

Kind = Literal[
    "mosquitto", "embedded", "stock", "memory", "shared mosquitto", "shared embedded", "postgres",
    "dealing mosquitto",
]  # fmt: skip
KINDS: tuple[Kind, ...] = ("mosquitto", "embedded")
"""Brokers that every contract test runs on; those marked `stock` also run on a mosquitto that
nobody configured, which keeps nothing over a restart and 1,000 messages for a session."""


_BLOCK = 100
_CLAIMS: list[socket.socket] = []


def _ports() -> Iterator[int]:
    """Ports of blocks that this process alone takes from: test runs beside each other never meet.

    A UDP socket on a block's first port says that it is taken, for as long as this process lives.
    """
    blocks = list(range(10_000, 32_000, _BLOCK))
    random.shuffle(blocks)
    for first in blocks:
        claim = socket.socket(type=socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", first))
        except OSError:
            claim.close()
        else:
            _CLAIMS.append(claim)
            yield from range(first, first + _BLOCK)


_PORTS = _ports()


def free_port() -> int:
    """A port where nobody listens; another one each time.

    It is below those that the kernel gives to outgoing connections (32768 and up): a client that
    connects again and again while its broker is away may be given the broker's own port, is then
    connected with itself, and the broker cannot listen any more.
    """
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def mosquitto() -> str | None:
    """Where mosquitto is: Debian puts it beside the administrator's programs.

    ``ROUTEQ_TEST_MOSQUITTO`` names another one, of another version.
    """
    chosen = os.environ.get("ROUTEQ_TEST_MOSQUITTO")
    if chosen:
        return shutil.which(chosen)
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def database_in(folder: Path) -> DatabasePlace:
    """The scheduler's; ``ROUTEQ_TEST_POSTGRES`` is a url for all tests; a folder has a schema."""
    server = os.environ.get("ROUTEQ_TEST_POSTGRES")
    if server is None:
        return folder / "routeq.db"
    return PostgresUrl.parse(f"{server}&schema=t{uuid5(NAMESPACE_URL, str(folder)).hex}")


class Cluster:
    """A broker and what a test starts on it."""

    def __init__(self, kind: Kind, folder: Path, recorder: Recorder) -> None:
        self.kind = kind
        self.folder = folder
        self.recorder = recorder
        self.db: DatabasePlace = database_in(folder)
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.listeners: list[str] = []
        self.broker: Process | None = None
        self.processes: list[Process] = []
        self.extra_conf: list[str] = []
        self.extra_env: dict[str, str] = {}
        sharing = os.environ.get("ROUTEQ_TEST_SHARING")
        if sharing is not None:
            self.extra_env["ROUTEQ_SHARING"] = sharing

    @property
    def env(self) -> dict[str, str]:
        return {
            "ROUTEQ_URL": self.url,
            "ROUTEQ_TEST_RECORDER": str(self.recorder.port),
            "COLUMNS": "200",
            **self.extra_env,
        }

    @property
    def topics(self) -> Topics:
        return Topics()

    @property
    def shares_queue(self) -> bool:
        return self.kind in {"embedded", "postgres"}

    # -- broker --------------------------------------------------------------------------------

    async def start_broker(self) -> None:
        if self.kind == "mosquitto":
            self.broker = await Process.start("broker", str(mosquitto()), "-c", self._conf())
        elif self.kind == "stock":
            self.broker = await Process.start("broker", str(mosquitto()), "-p", str(self.port))
        else:
            db = str(self.folder / "broker.db")
            self.broker = await Process.cli(
                "broker", "broker", "--bind", f"127.0.0.1:{self.port}", "--db", db, env=self.env
            )
        await self.listening(self.port)

    def _conf(self) -> str:
        """The shipped configuration; only port and folder are the test's own."""
        shipped = (ROOT / "mosquitto.conf").read_text()
        lines = [
            line
            for line in shipped.splitlines()
            if not line.startswith(("listener", "persistence_location", "log_dest", "user "))
        ]
        lines += [
            f"listener {self.port} 127.0.0.1",
            f"persistence_location {self.folder}/",
            "log_dest stderr",
            "user root",
            *self.listeners,
            *self.extra_conf,
        ]
        path = self.folder / "mosquitto.conf"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    async def listening(self, port: int) -> None:
        """The port answers."""
        assert self.broker is not None
        await until_listening(port, self.broker)

    async def stop_broker(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.broker is not None
        self.broker.send(number)
        await self.broker.ended()

    @property
    def brokers(self) -> list[Process]:
        """The processes of the broker that run."""
        return [self.broker] if self.broker is not None and self.broker.running else []

    @property
    def keeps_acknowledged(self) -> bool:
        """Whether the broker has after a kill -9 what it has acknowledged before."""
        return self.kind == "embedded"

    async def restart_broker(self, number: signal.Signals = signal.SIGTERM) -> None:
        await self.stop_broker(number)
        await self.start_broker()

    # -- services ------------------------------------------------------------------------------

    async def scheduler(self, *flags: str, **env: str) -> Process:
        process = await Process.cli(
            "scheduler",
            "scheduler",
            "--db",
            str(self.db),
            *flags,
            env=self.env | env,
        )
        self.processes.append(process)
        await process.says("online")
        return process

    async def standby(self) -> Process:
        """One that waits for the database of `scheduler`."""
        process = await Process.cli(
            "standby", "scheduler", "--standby", "--db", str(self.db),
            env=self.env,
        )  # fmt: skip
        self.processes.append(process)
        await process.says("standby, the leader is host=")
        return process

    async def dying_scheduler(self, step: str, *flags: str, **env: str) -> Process:
        """One that kills itself at a step; ``step;3``: when it comes there for the third time.

        See `tests.faults.scheduler`; this one may not be online yet.
        """
        process = await Process.start(
            "scheduler",
            sys.executable,
            "-m",
            "tests.faults.scheduler",
            str(self.db),
            *flags,
            env=self.env | {DIE_AT: step} | env,
        )
        self.processes.append(process)
        return process

    async def succession(self, dying: Process) -> asyncio.Task[Process]:
        """Once it is online: the next scheduler, started when this one has died at its step."""
        await dying.says("online")

        async def next_one() -> Process:
            await dying.ended()
            assert "dies at: " in dying.output, dying.output
            return await self.scheduler()

        return asyncio.create_task(next_one())

    async def worker(self, queues: str = "default", *flags: str, **env: str) -> Process:
        process = await Process.cli(
            "worker", "worker", "--queue", queues, "--app", "tests.cluster.jobs", *flags,
            env=self.env | env,
        )  # fmt: skip
        self.processes.append(process)
        await process.says("online")
        return process

    async def cli(self, *arguments: str) -> tuple[int, str]:
        """Run a command to its end; exit code and output."""
        process = await Process.cli(arguments[0], *arguments, env=self.env)
        code = await process.ended()
        return code, process.output

    async def cli_with(self, env: dict[str, str], *arguments: str) -> str:
        """Run a command that succeeds, with more environment; its output."""
        process = await Process.cli(arguments[0], *arguments, env=self.env | env)
        assert await process.ended() == 0, process.output
        return process.output

    @contextlib.asynccontextmanager
    async def bus(self, **settings: Any) -> AsyncIterator[Bus]:
        async with Bus(settings=Settings(url=self.url, **settings)) as bus:
            yield bus

    # -- waiting -------------------------------------------------------------------------------

    async def ask_until(self, bus: Bus, method: str, wanted: Any, **args: Any) -> Any:
        """Ask the scheduler until its answer satisfies; each answer is an event of its own."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                with contextlib.suppress(ConnectionFailed, NoScheduler):
                    answer = await bus.requests.call(method, **args)
                    if wanted(answer):
                        return answer

    async def size_until(
        self, bus: Bus, queue: str, wanted: Callable[[QueueSize], bool]
    ) -> QueueSize:
        """Look at the size of a queue until it satisfies."""
        size = QueueSize()
        try:
            async with asyncio.timeout(TIMEOUT):
                while not wanted(size := await bus.size(queue)):
                    pass
        except TimeoutError:
            raise AssertionError(f"{queue} was never as wanted, but {size}") from None
        return size

    async def failed_records(self, bus: Bus, number: int) -> list[dict[str, Any]]:
        """Wait for so many failed records."""
        found = await self.ask_until(bus, "failed.list", lambda rows: len(rows) >= number)
        return list(found)

    async def close(self) -> None:
        for process in self.processes:
            if process.running:
                process.send(signal.SIGKILL)
        for process in self.processes:
            await process.ended()
        if self.broker is not None and self.broker.running:
            await self.broker.kill()
