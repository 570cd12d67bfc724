"""Jobs that write into the ledger when they start and when they have ended."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import cache

from routeq_mqtt import Job
from tests.faults.ledger import Ledger


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


class Poison(Job):
    """Kills its worker at once, as a segmentation fault does."""

    max_tries = 1_000
    key: str
    how: str = "exit"

    async def handle(self) -> None:
        ledger().note("start", key=self.key, attempt=self.attempts)
        ledger().note("fault", kind="worker kills itself", victims=[os.getpid()])
        if self.how == "exit":
            os._exit(9)
        os.kill(os.getpid(), signal.SIGSEGV)

    async def failed(self, error: BaseException) -> None:
        ledger().note("failed", key=self.key, attempt=self.attempts, error=str(error))
