"""Child processes for jobs with ``executor = "process"``: they compute, crash and are killed alone.

A child is a Python of its own, not a fork: it inherits no socket, no lock and no event loop. A job
travels to it as its envelope; the class is found by its registered name, in the module that the
worker has it from. It is kept for the next job, unless it had to be killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import Fail, JobProcessDied, Release, Retry
from routeq_mqtt.wire.packing import unpack
from routeq_mqtt.worker.words import frame

if TYPE_CHECKING:
    from routeq_mqtt.job.job import Job
    from routeq_mqtt.wire.envelope import Envelope
    from routeq_mqtt.worker.limit import TimeLimit

log = logging.getLogger(__name__)

_START_LIMIT = 60.0
"""Seconds for a process to start and to import what its job needs."""


class Processes:
    """As many children as jobs run in them at once; started when they are needed."""

    def __init__(self) -> None:
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()

    async def run(self, job: Job, envelope: Envelope, limit: TimeLimit) -> object:
        """Run ``handle()`` of a job in a child; its result.

        A cancellation (a timeout, too) kills the child. Its start, and the import of what the job
        needs, do not count against `limit`.

        Raises:
            JobProcessDied: the child did not start, or ended first; says how.
            Exception: what ``handle()`` raised, with the child's traceback as its cause.
        """
        limit.stop()
        child = await self._child()
        try:
            await child.begin(
                {
                    "envelope": _plain(job, envelope).encode(),
                    "module": type(job).__module__,
                    "main": getattr(sys.modules.get("__main__"), "__file__", None),
                }
            )
            limit.go_on()
            while "progress" in (answer := await child.hear()):
                job.progress(*answer["progress"])
        except BaseException:
            self._all.discard(child)
            await asyncio.shield(child.kill())
            raise
        self._idle.append(child)
        if "error" in answer:
            raise _error(answer["error"])
        return answer["value"]

    async def _child(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            self._all.discard(child)
            await child.kill()
        child = await _Child.start()
        self._all.add(child)
        return child

    def close(self) -> None:
        """End them all, those that run a job by force."""
        for child in self._all:
            child.end(by_force=child not in self._idle)
        self._all.clear()
        self._idle.clear()


def _plain(job: Job, envelope: Envelope) -> Envelope:
    """The envelope with what the worker has opened, as middleware left it: no keys travel."""
    return envelope.evolve(id=job.job_id, data=job.data(), headers=job.headers or {}, extra={})


class _Child:
    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls) -> _Child:
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: what the job starts dies with it.
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own module; it returns at once
                [sys.executable, "-m", "routeq_mqtt.worker.child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    async def begin(self, question: dict[str, Any]) -> None:
        """Returns when ``handle()`` is called, or the question is answered already."""
        self._writer.write(frame(question))
        try:
            async with asyncio.timeout(_START_LIMIT):
                await self.hear()
        except TimeoutError:
            raise JobProcessDied(f"its process did not start within {_START_LIMIT} s") from None

    async def hear(self) -> dict[str, Any]:
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            answer: dict[str, Any] = unpack(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise JobProcessDied(f"its process {await self._ended()}") from None
        return answer

    async def _ended(self) -> str:
        code = await asyncio.to_thread(self._process.wait)
        if code >= 0:
            return f"ended with exit code {code}"
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"

    def end(self, *, by_force: bool) -> None:
        if by_force:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._writer.close()

    async def kill(self) -> None:
        self.end(by_force=True)
        await asyncio.to_thread(self._process.wait)


class _ChildTraceback(Exception):
    """The child's traceback, shown as the cause of what the job raised."""


def _error(told: dict[str, Any]) -> BaseException:
    if told["control"] == "Fail":
        return Fail(told["text"])
    if told["control"] == "Retry":
        return Retry(told["text"], delay=told["delay"])
    if told["control"] == "Release":
        return Release(delay=told["delay"])
    error = _same_class(told)
    error.__cause__ = _ChildTraceback(f"\n{told['traceback']}")
    return error


def _same_class(told: dict[str, Any]) -> Exception:
    """An error of the same class where the worker has it, so that `dont_retry_on` knows it."""
    kind: Any = sys.modules.get(told["module"])
    for part in told["name"].split("."):
        kind = getattr(kind, part, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        with contextlib.suppress(Exception):
            error = kind.__new__(kind)
            error.args = (told["text"],)
            str(error)
            return error
    return RuntimeError(f"{told['name']}: {told['text']}")
