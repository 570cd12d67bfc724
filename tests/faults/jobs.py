"""Jobs that write into the ledger when they start and when they have ended."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
from functools import cache
from pathlib import Path

from routeq_mqtt import Job
from tests.faults.ledger import Ledger

_ROOM = 64 << 20
_PIECE = 1 << 20


@cache
def ledger() -> Ledger:
    return Ledger.here()


class Work(Job):
    """Takes `seconds`; `fails` times it raises first."""

    max_tries = 1_000
    backoff = [0.05]
    key: str
    seconds: float = 0.0
    fails: int = 0

    async def handle(self) -> None:
        ledger().note("start", key=self.key, attempt=self.attempts)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.attempts <= self.fails:
            ledger().note("raised", key=self.key, attempt=self.attempts)
            raise RuntimeError("as it was told to")
        ledger().note("end", key=self.key, attempt=self.attempts)

    async def failed(self, error: BaseException) -> None:
        ledger().note("failed", key=self.key, attempt=self.attempts, error=str(error))


def _eat_memory() -> None:
    """No less than the limit: a worker in a container meets the kernel's SIGKILL there."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + _ROOM, hard))
    held = []
    try:
        while True:
            held.append(bytearray(_PIECE))
    except MemoryError:
        os.kill(os.getpid(), signal.SIGKILL)


class Poison(Job):
    """Kills its worker at once.

    Attributes:
        how: exit: `os._exit`; segfault: reads address 0; memory: takes all that it may have, and is
            killed as the kernel kills who takes too much.
    """

    max_tries = 1_000
    key: str
    how: str = "exit"

    async def handle(self) -> None:
        ledger().note("start", key=self.key, attempt=self.attempts)
        ledger().note("fault", kind="worker kills itself", victims=[os.getpid()])
        if self.how == "segfault":
            ctypes.string_at(0)
        elif self.how == "memory":
            _eat_memory()
        os._exit(9)

    async def failed(self, error: BaseException) -> None:
        ledger().note("failed", key=self.key, attempt=self.attempts, error=str(error))
