"""A worker's side of a benchmark: counts jobs and tells the benchmark's process, joined.

Standard library only, so that a peer's worker can use it from its own virtual environment. Times
are of the system's monotonic clock, which all processes of one machine share.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time

PORT = "ROUTEQ_BENCH_TALLY"
"""The environment variable that names the port where the benchmark listens."""

_JOIN = 0.005


class Tally:
    """Counts; a line of JSON over a socket at most every 5 ms."""

    def __init__(self) -> None:
        self._count = 0
        self._first = 0.0
        self._last = 0.0
        self._delays: list[float] = []
        self._pending = False
        self._open = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._socket = socket.create_connection(("127.0.0.1", int(os.environ[PORT])))
        self._send({"pid": os.getpid()})
        threading.Thread(target=self._listen, name="tally", daemon=True).start()

    def job(self, delay: float | None = None) -> None:
        """A job ran on an event loop; `delay`: how late, in seconds."""
        self._last = time.monotonic()
        if not self._count:
            self._first = self._last
        self._count += 1
        if delay is not None:
            self._delays.append(delay)
        if not self._pending:
            self._pending = True
            asyncio.get_running_loop().call_later(_JOIN, self.flush)

    def flush(self) -> None:
        """Tell what was counted; workers without an event loop call this themselves."""
        self._pending = False
        delays, self._delays = self._delays, []
        self._send(
            {"count": self._count, "first": self._first, "last": self._last, "delays": delays}
        )

    async def gate(self) -> None:
        """Hold this job until the benchmark opens the gate."""
        loop = asyncio.get_running_loop()
        self._send({"held": 1})
        if not self._open.is_set():
            future = loop.create_future()
            self._waiting.append((loop, future))
            await future

    def _send(self, line: dict[str, object]) -> None:
        self._socket.sendall(json.dumps(line).encode() + b"\n")

    def _listen(self) -> None:
        if self._socket.recv(1):
            self._open.set()
            for loop, future in self._waiting:
                loop.call_soon_threadsafe(future.set_result, None)
