"""What systemd is told, by real services on a real socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from routeq_mqtt.cli.processes.notify import Notifier, notifying
from tests.cluster.cluster import Cluster, free_port
from tests.cluster.jobs import BlocksTheLoop
from tests.cluster.process import Process
from tests.cluster.recorder import TIMEOUT


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.setblocking(False)

    @property
    def env(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "200000"}

    async def hears(self, state: str, times: int = 1) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT):
            while self.said.count(state) < times:
                self.said.append((await loop.sock_recv(self._socket, 100)).decode())

    def drain(self) -> None:
        """Forget what was said before, and take what waits."""
        self.said.clear()
        try:
            while True:
                self.said.append(self._socket.recv(100).decode())
        except BlockingIOError:
            pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    one = Systemd(tmp_path)
    yield one
    one.close()


async def test_ready_alive_and_stopping_in_this_order(systemd: Systemd) -> None:
    online = asyncio.Event()
    async with notifying(online, Notifier(systemd.env)):
        await systemd.hears("WATCHDOG=1")
        assert "READY=1" not in systemd.said
        online.set()
        await systemd.hears("READY=1")
        await systemd.hears("WATCHDOG=1", 3)
    await systemd.hears("STOPPING=1")


async def test_a_watchdog_meant_for_somebody_else_and_none_at_all(systemd: Systemd) -> None:
    other = {**systemd.env, "WATCHDOG_PID": "1"}
    assert Notifier(other).interval is None
    assert Notifier({**systemd.env, "WATCHDOG_PID": str(os.getpid())}).interval == 0.1
    assert Notifier({}).interval is None
    Notifier({}).send("READY=1")  # to nobody
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}).send("READY=1")  # stops nothing


@pytest.mark.parametrize("service", ["scheduler", "worker"])
async def test_a_service_tells_systemd(cluster: Cluster, systemd: Systemd, service: str) -> None:
    await cluster.scheduler(**(systemd.env if service == "scheduler" else {}))
    if service == "worker":
        await cluster.worker("default", **systemd.env)
    await systemd.hears("READY=1")
    await systemd.hears("WATCHDOG=1", 3)
    process = cluster.processes[-1]
    process.send(signal.SIGTERM)
    await systemd.hears("STOPPING=1")
    assert await process.ended() == 0


@pytest.mark.slow
async def test_the_embedded_broker_tells_systemd(systemd: Systemd, tmp_path: Path) -> None:
    broker = await Process.cli(
        "broker", "broker", "--bind", f"127.0.0.1:{free_port()}",
        "--db", str(tmp_path / "broker.db"), env=systemd.env,
    )  # fmt: skip
    try:
        await systemd.hears("READY=1")
        await systemd.hears("WATCHDOG=1", 3)
        broker.send(signal.SIGTERM)
        await systemd.hears("STOPPING=1")
        assert await broker.ended() == 0
    finally:
        if broker.running:
            await broker.kill()


async def test_a_worker_whose_loop_hangs_is_silent(cluster: Cluster, systemd: Systemd) -> None:
    """The presence's thread goes on; the signs of life come from the loop alone."""
    await cluster.scheduler()
    worker = await cluster.worker("default", **systemd.env)
    await systemd.hears("WATCHDOG=1", 2)
    async with cluster.bus() as bus:
        await bus.dispatch(BlocksTheLoop(key="hung"))
        await cluster.recorder.wait(lambda: bool(cluster.recorder.named("waits")), "it hangs")
        systemd.drain()  # the last one may just have come
        # The presence's thread goes on; its next heartbeat is 25 intervals of the watchdog away.
        beats: asyncio.Queue[str] = asyncio.Queue()
        await bus.sender.listen(["routeq/workers/+"], lambda m: beats.put_nowait(m.topic))
        await bus.sender.caught_up()
        while not beats.empty():
            beats.get_nowait()  # what was retained
        async with asyncio.timeout(TIMEOUT):
            await beats.get()
        systemd.drain()
        assert systemd.said == []
        cluster.recorder.open("hung")
    await systemd.hears("WATCHDOG=1", 2)
    assert await worker.stop() == 0
