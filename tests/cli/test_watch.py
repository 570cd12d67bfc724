"""`workers --watch` in a terminal of its own, as a person sees it, and into a pipe."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import signal
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.cluster.cluster import Cluster
from tests.cluster.process import ENTRY, ROOT, Process
from tests.cluster.recorder import TIMEOUT


class Terminal:
    """What a command draws; each part is forgotten once it was looked for."""

    def __init__(self, master: int, process: asyncio.subprocess.Process) -> None:
        self._master = master
        self._process = process
        self._drawn = ""
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # the other end is closed
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self._drawn += data.decode(errors="replace")
        self._news.set()

    async def shows(self, *texts: str) -> None:
        """Wait until these were drawn, one after the other; begins where the last wait ended."""
        for text in texts:
            try:
                async with asyncio.timeout(TIMEOUT):
                    while text not in self._drawn:
                        self._news.clear()
                        await self._news.wait()
            except TimeoutError:
                raise AssertionError(f"never drew {text!r}: {self._drawn[-2_000:]!r}") from None
            self._drawn = self._drawn.partition(text)[2]

    async def type(self, keys: bytes) -> int:
        """Press keys that end the command; its exit code."""
        os.write(self._master, keys)
        async with asyncio.timeout(TIMEOUT):
            return await self._process.wait()


@asynccontextmanager
async def terminal(cluster: Cluster, *arguments: str) -> AsyncIterator[Terminal]:
    """A command that believes that a person watches."""
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", cluster.env.get(ENTRY, "routeq_mqtt.cli"), *arguments,
        stdin=slave, stdout=slave, stderr=slave, preexec_fn=_own_terminal,
        env={**os.environ, **cluster.env, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
    )  # fmt: skip
    os.close(slave)
    one = Terminal(master, process)
    try:
        yield one
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)


def _own_terminal() -> None:
    """So that Ctrl-C reaches this process, and no other."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


async def test_watch_follows_a_worker_that_comes_and_goes(cluster: Cluster) -> None:
    """Without a scheduler; a worker that leaves nothing behind takes its own status away."""
    async with terminal(cluster, "workers", "--watch") as shown:
        await shown.shows("no worker is there")
        worker = await cluster.worker("default", "--name", "press", "--concurrency", "3")
        await shown.shows("press", "online", "0/3", "Ctrl-C")
        assert await worker.stop() == 0
        await shown.shows("no worker is there")
        assert await shown.type(b"\x03") == 0


async def test_watch_shows_a_kill_and_a_broker_that_is_away(cluster: Cluster) -> None:
    worker = await cluster.worker("default", "--name", "press")
    async with terminal(cluster, "workers", "--watch") as shown:
        await shown.shows("press", "online")
        await worker.kill()
        await shown.shows("press", "lost")
        await cluster.stop_broker()
        await shown.shows("the broker is away")
        await cluster.start_broker()
        await shown.shows("press", "Ctrl-C")
        assert await shown.type(b"\x03") == 0


async def test_watch_into_a_pipe_says_each_change_once(cluster: Cluster) -> None:
    watch = await Process.cli("watch", "workers", "--watch", "--json", env=cluster.env)
    cluster.processes.append(watch)
    await watch.says("[]")
    await cluster.worker("default", "--name", "press")
    fleet = await _said(watch, lambda members: members != [])
    assert [(one["name"], one["state"]) for one in fleet] == [("press", "online")]
    watch.send(signal.SIGINT)
    assert await watch.ended() == 0, watch.output
    assert len(watch.lines) == len(set(watch.lines))


async def _said(process: Process, wanted: Callable[[Any], bool]) -> list[dict[str, Any]]:
    """The first line of JSON that satisfies."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            for line in process.lines:
                if wanted(found := json.loads(line)):
                    return list(found)
            await process.says("", times=len(process.lines) + 1)
