"""A process under test: started, watched line by line, stopped by its own pid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from routeq_mqtt.notifier import Notifier
from tests.cluster.recorder import TIMEOUT

ROOT = Path(__file__).parents[2]

ENTRY = "ROUTEQ_TEST_ENTRY"
"""The module that runs as routeq-mqtt; default: its own."""


class Process:
    """A child process; what it prints is kept, and can be waited for."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.lines: list[str] = []
        self._process = process
        self._news = Notifier()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls,
        name: str,
        *command: str,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Process:
        """Start a command, in a folder; Python finds the code of this checkout."""
        path = os.pathsep.join([str(ROOT), str(ROOT / "broker")])
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )
        return cls(name, process)

    @classmethod
    async def cli(cls, name: str, *arguments: str, env: Mapping[str, str]) -> Process:
        """Start a routeq-mqtt command."""
        command = (sys.executable, "-m", env.get(ENTRY, "routeq_mqtt.cli"), *arguments)
        return await cls.start(name, *command, env=env)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.lines.append(line.decode(errors="replace").rstrip())
            self._news.notify()
        await self._process.wait()
        self._news.notify()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    async def says(self, text: str, times: int = 1) -> None:
        """Wait for a line that contains a text."""
        try:
            async with asyncio.timeout(TIMEOUT):
                while sum(text in line for line in self.lines) < times:
                    if self._reader.done():
                        raise AssertionError(f"{self.name} ended:\n{self.output}")
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} never said {text!r}:\n{self.output}") from None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def ended(self, timeout: float = TIMEOUT) -> int:
        """Wait for the end; the exit code. Of an error, pytest shows what the process said."""
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._reader)
                code = await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} does not end:\n{self.output}") from None
        if code > 0:
            print(f"{self.name} ended with {code}:\n{self.output}")  # noqa: T201
        return code

    async def stop(self) -> int:
        """SIGTERM, and wait."""
        self.send(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """SIGKILL, and wait."""
        self.send(signal.SIGKILL)
        await self.ended()


async def until_listening(port: int, process: Process) -> None:
    """The port answers; a refused connection is the event that we wait to end."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            assert process.running, process.output
            await asyncio.sleep(0.02)
