"""Jobs tell the test what they do over a local socket, and may wait there to be let on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from routeq_mqtt.notifier import Notifier

TIMEOUT = 60.0
"""Seconds until a test gives up on an event: never how long it takes, only when it failed."""

Event = dict[str, Any]


class Recorder:
    """A server that keeps every event that jobs report."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._news = Notifier()
        self._open: set[str] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                event = json.loads(line)
                self.events.append(event)
                if "gate" in event:
                    asyncio.create_task(self._let_on(event["gate"], writer))  # noqa: RUF006
                self._news.notify()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _let_on(self, gate: str, writer: asyncio.StreamWriter) -> None:
        while gate not in self._open:
            await self._news.wait()
        writer.write(json.dumps({"gate": gate}).encode() + b"\n")

    def open(self, gate: str) -> None:
        """Let everybody on who waits, or will wait, at a gate."""
        self._open.add(gate)
        self._news.notify()

    async def wait(
        self, condition: Callable[[], bool], what: str = "", *, timeout: float = TIMEOUT
    ) -> None:
        """Wait until a condition on the events holds."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    await self._news.wait()
        except TimeoutError:
            tail = "\n".join(map(str, self.events[-20:]))
            raise AssertionError(f"never happened: {what or condition}; events:\n{tail}") from None

    def named(self, event: str) -> list[Event]:
        """All events of a name."""
        return [e for e in self.events if e["event"] == event]

    def ran(self, event: str = "ran") -> Counter[str]:
        """How often each key was reported."""
        return Counter(str(e.get("key")) for e in self.named(event))

    async def count(self, event: str, number: int) -> None:
        """Wait for so many events of a name."""
        await self.wait(lambda: len(self.named(event)) >= number, f"{number} x {event}")
