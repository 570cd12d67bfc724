"""The benchmark's side of the tallies: how many jobs ran, when, and how late."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from routeq_mqtt.notifier import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Seen:
    """What one worker process said last."""

    writer: asyncio.StreamWriter
    pid: int = 0
    count: int = 0
    first: float = 0.0
    last: float = 0.0
    held: int = 0
    delays: list[float] = field(default_factory=list)


class Counter:
    """Listens to the tallies of all worker processes."""

    def __init__(self) -> None:
        self.workers: list[Seen] = []
        self.port: int = 0
        self._opened = False
        self._news = Notifier()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Counter:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None  # noqa: S101 - entered
        self._server.close()
        for seen in self.workers:
            seen.writer.close()

    @property
    def count(self) -> int:
        """Jobs that ran."""
        return sum(seen.count for seen in self.workers)

    @property
    def first(self) -> float:
        """When the first one ran, monotonic."""
        return min(seen.first for seen in self.workers if seen.count)

    @property
    def last(self) -> float:
        """When the last one ran, monotonic."""
        return max(seen.last for seen in self.workers)

    @property
    def delays(self) -> list[float]:
        """How late each timed job was, in seconds."""
        return [delay for seen in self.workers for delay in seen.delays]

    @property
    def held(self) -> int:
        """Jobs that wait at the gate."""
        return sum(seen.held for seen in self.workers)

    async def ran(self, number: int, timeout: float = 120.0) -> None:
        """Wait until this many jobs have run."""
        await self.until(lambda: self.count >= number, f"{number} jobs", timeout)

    async def until(self, reached: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
        """Wait until something is true of the workers.

        Raises:
            TimeoutError: it never was; says how far it came.
        """
        try:
            async with asyncio.timeout(timeout):
                while not reached():
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"{what}: {self.count} ran, {self.held} held") from None

    def open_for_newcomers(self) -> None:
        """Let workers pass that connect from now on."""
        self._opened = True

    def open(self) -> None:
        """Let go what waits at the gate, and what arrives there later."""
        self.open_for_newcomers()
        for seen in self.workers:
            seen.writer.write(b"!")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = Seen(writer)
        self.workers.append(seen)
        if self._opened:
            writer.write(b"!")
        with contextlib.suppress(ConnectionError):  # a worker that was killed
            while line := await reader.readline():
                self._fold(seen, json.loads(line))

    def _fold(self, seen: Seen, said: dict[str, Any]) -> None:
        seen.pid = said.get("pid", seen.pid)
        seen.count = said.get("count", seen.count)
        seen.first = said.get("first", seen.first)
        seen.last = said.get("last", seen.last)
        seen.held += said.get("held", 0)
        seen.delays += said.get("delays", ())
        self._news.notify()
