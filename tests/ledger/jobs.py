"""Jobs that write down each of their attempts: one line in a file of the worker's process.

A line is written with one system call, so that it outlives a ``kill -9`` of its worker.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import cache
from pathlib import Path

from routeq_mqtt import Job

VARIABLE = "ROUTEQ_TEST_LEDGER"
"""The environment variable that names the folder of the files."""


class Entered(Job):
    """Takes its time, ends as it is told, and writes that down."""

    max_tries = 3
    retry_after = 0.0

    number: int
    sent: float
    takes: float = 0.0
    fails: int = 0

    async def handle(self) -> None:
        began, waited = time.perf_counter(), time.time() - self.sent
        if self.takes:
            await asyncio.sleep(self.takes)
        raises = self.attempts <= self.fails
        outcome = "done" if not raises else "failed" if self.attempts == 3 else "retried"
        ran = time.perf_counter() - began
        line = f"{time.time()} {self.number} {self.attempts} {outcome} {ran} {waited}\n"
        os.write(_file(), line.encode())
        if raises:
            raise ValueError(f"job {self.number} was told to fail")


@cache
def _file() -> int:
    path = Path(os.environ[VARIABLE]) / str(os.getpid())
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
