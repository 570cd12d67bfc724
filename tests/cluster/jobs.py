"""Jobs of the tests. They report to the recorder whose port is in the environment."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from typing import Any

from routeq_mqtt import Fail, Job, Retry

_connections: dict[int, Connection] = {}


class Connection:
    """One connection of this process to the recorder."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.gates: dict[str, list[asyncio.Future[None]]] = {}
        self._task = asyncio.create_task(self._read(reader))

    async def ended(self) -> None:
        """Wait until nothing is read any more."""
        await self._task

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            for future in self.gates.pop(json.loads(line)["gate"], []):
                if not future.done():
                    future.set_result(None)


async def disconnect() -> None:
    """Where jobs run in the test's own process: the next test has another recorder."""
    there = _connections.pop(id(asyncio.get_running_loop()), None)
    if there is not None:
        there.writer.close()
        await there.ended()


async def connection() -> Connection:
    loop = asyncio.get_running_loop()
    found = _connections.get(id(loop))
    if found is None:
        port = int(os.environ["ROUTEQ_TEST_RECORDER"])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        found = _connections.setdefault(id(loop), Connection(reader, writer))
    return found


async def tell(event: str, job: Job, **more: Any) -> None:
    said = {"event": event, "id": job.job_id, "attempt": job.attempts, "pid": os.getpid()}
    there = await connection()
    there.writer.write(json.dumps(said | {"at": time.time()} | more, default=str).encode() + b"\n")


async def wait_at(gate: str, job: Job, **more: Any) -> None:
    there = await connection()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    there.gates.setdefault(gate, []).append(future)
    await tell("waits", job, gate=gate, **more)
    await future


class Report(Job):
    key: str = ""

    async def handle(self) -> None:
        await tell("ran", self, key=self.key)


class Gated(Job):
    key: str
    gate: str

    async def handle(self) -> None:
        await wait_at(self.gate, self, key=self.key)
        await tell("ran", self, key=self.key)


class GatedSlot(Gated):
    concurrency_limit = 1


class Flaky(Job):
    max_tries = 3
    backoff = [0.05, 0.1]
    succeed_on: int = 3

    async def handle(self) -> None:
        await tell("tried", self)
        if self.attempts < self.succeed_on:
            raise RuntimeError(f"attempt {self.attempts} fails")
        await tell("ran", self, key="flaky")


class Hopeless(Job):
    max_tries = 2
    secret: str = "kept"  # noqa: S105

    async def handle(self) -> None:
        raise ValueError("never works")

    async def failed(self, error: BaseException) -> None:
        await tell("failed", self, error=repr(error))


class BadHook(Job):
    max_tries = 1

    async def handle(self) -> None:
        raise ValueError("first")

    async def failed(self, error: BaseException) -> None:
        await tell("hook", self)
        raise RuntimeError("the hook fails, too")


class Comeback(Job):
    """Its first attempt waits at a gate and fails, the second one runs."""

    max_tries = 3
    retry_after = 0.05
    key: str
    gate: str

    async def handle(self) -> None:
        if self.attempts == 1:
            await wait_at(self.gate, self)
            raise RuntimeError("the first attempt fails")
        await tell("ran", self, key=self.key)


class GivesUp(Job):
    async def handle(self) -> None:
        raise Fail("no such customer")


class AsksAgain(Job):
    async def handle(self) -> None:
        if self.attempts == 1:
            raise Retry("not yet", delay=0.2)
        await tell("ran", self, key="again")


class TooSlow(Job):
    timeout = 0.3
    max_tries = 2

    async def handle(self) -> None:
        await tell("tried", self)
        try:
            await asyncio.Event().wait()
        finally:
            await tell("stopped", self)


class Patient(Job):
    """Its own timeout beats the worker's flag."""

    timeout = 60
    gate: str

    async def handle(self) -> None:
        await wait_at(self.gate, self)
        await tell("ran", self, key="patient")


class Blocking(Job):
    """A plain function: it runs in a thread."""

    key: str

    def handle(self) -> None:
        _block(self, self.key)


class BlocksTheLoop(Job):
    """What nobody should do: it waits on the event loop, and the loop with it."""

    key: str

    async def handle(self) -> None:
        _block(self, self.key)


def _block(job: Job, key: str) -> None:
    port = int(os.environ["ROUTEQ_TEST_RECORDER"])
    with socket.create_connection(("127.0.0.1", port)) as there:
        said = {"event": "waits", "gate": key, "key": key, "id": job.job_id}
        there.sendall(json.dumps(said).encode() + b"\n")
        there.recv(1000)
        said = {"event": "ran", "key": key, "id": job.job_id}
        there.sendall(json.dumps(said).encode() + b"\n")


class OldStyle(Job):
    def __init__(self) -> None:
        super().__init__()
        self.to = "nobody"
        self.count = 0

    async def handle(self) -> None:
        await tell("ran", self, key=f"{self.to} {self.count}")


class Typed(Job):
    values: dict[str, Any]

    async def handle(self) -> None:
        await tell("ran", self, key=repr(sorted(self.values.items())))


class Deadly(Job):
    """Kills its worker."""

    max_tries = 20

    async def handle(self) -> None:
        await tell("kills", self)
        there = await connection()
        await there.writer.drain()
        os._exit(9)


class LastChance(Job):
    """One attempt, and a hook that says when it was the last."""

    max_tries = 1
    gate: str

    async def handle(self) -> None:
        await wait_at(self.gate, self)
        await tell("ran", self, key="last chance")

    async def failed(self, error: BaseException) -> None:
        await tell("failed", self, error=str(error))


class AwaitsCancelled(Job):
    """Awaits a task that somebody has cancelled; nobody has cancelled the job."""

    max_tries = 1

    async def handle(self) -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        task.cancel()
        await task
