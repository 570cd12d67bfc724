"""One child process for jobs: its start, the frames to and from it, its end with all it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import JobProcessDied
from routeq_mqtt.python import python
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.wire.packing import unpack
from routeq_mqtt.worker.execute.descendants import MARK, kill_marked
from routeq_mqtt.worker.execute.ipc import frame

if TYPE_CHECKING:
    from collections.abc import Coroutine

_START_LIMIT = 60.0
"""Seconds for a process to start, and again to import what its job needs."""

_CUT = (asyncio.IncompleteReadError, ConnectionError)
_LOOK_EVERY = 0.1

_LAST_WORDS = 0.2
"""Seconds that the answer of a process which has ended may still be on its way."""


class Child:
    """A child process that runs jobs, and the pipe to it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        mark: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._mark = mark
        self._reader = reader
        self._writer = writer
        self._tasks = Tasks()
        self._over = self._tasks.start(_ended(process), f"job-process-{process.pid}")

    @classmethod
    async def start(cls) -> Child:
        """Start one; returns when it is there.

        Raises:
            OSError: the system does not let us: no memory, no file descriptors.
            JobProcessDied: it has ended at once, or was not there within 60 seconds.
        """
        ours, theirs = socket.socketpair()
        mark = secrets.token_hex(8)
        try:
            with theirs:
                # A session of its own: what the job starts dies with it.
                process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own module; at once
                    python("routeq_mqtt.worker.execute.subprocess_main", str(theirs.fileno())),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                    env={**os.environ, MARK: mark},
                )
        except BaseException:
            ours.close()
            raise
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            _kill(process, mark)
            raise
        child = cls(process, mark, reader, writer)
        try:
            await child._within(_START_LIMIT, child.hear())
        except BaseException:
            await asyncio.shield(child.kill())
            raise
        return child

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    async def begin(self, question: dict[str, Any]) -> None:
        """Returns when ``handle()`` is called, or the question is answered already."""
        self._writer.write(frame(question))
        await self._within(_START_LIMIT, self.hear())

    async def _within(self, seconds: float, waiting: Coroutine[Any, Any, object]) -> None:
        try:
            async with asyncio.timeout(seconds):
                await waiting
        except TimeoutError:
            raise JobProcessDied(f"its process did not start within {seconds} s") from None

    async def hear(self) -> dict[str, Any]:
        """The next frame.

        Raises:
            JobProcessDied: there is none, the process has ended; says how. What it has forked
                may still hold the socket: its own end counts.
        """
        name = f"job-process-{self._process.pid}-frame"
        reading = self._tasks.start(self._read(), name, expected=_CUT)
        try:
            await asyncio.wait({reading, self._over}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await asyncio.wait({reading}, timeout=_LAST_WORDS)
            if reading.done():
                with contextlib.suppress(*_CUT):
                    return reading.result()
        finally:
            reading.cancel()
        raise JobProcessDied(f"its process {_how(await self._over)}")

    async def _read(self) -> dict[str, Any]:
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        answer: dict[str, Any] = unpack(await self._reader.readexactly(size))
        return answer

    def end(self, *, by_force: bool) -> None:
        """Let it end, or kill it with everything that it has started."""
        if by_force:
            _kill(self._process, self._mark)
        self._writer.close()

    async def kill(self) -> None:
        """Kill it with everything that it has started; returns when it has ended."""
        await asyncio.to_thread(_kill, self._process, self._mark)
        self._writer.close()
        await asyncio.shield(self._over)


def _kill(process: subprocess.Popen[bytes], mark: str) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    kill_marked(mark)


async def _ended(process: subprocess.Popen[bytes]) -> int:
    """Returns when a process has ended; its exit code."""
    try:
        there = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # an older kernel, another system, no file descriptor
        while (code := process.poll()) is None:
            await asyncio.sleep(_LOOK_EVERY)
        return code
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(there, readable.set)
    try:
        await readable.wait()
        return process.wait()
    finally:
        loop.remove_reader(there)
        os.close(there)


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
