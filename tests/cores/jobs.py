"""Jobs of these tests that compute in a process of their own."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import time
from typing import Any

from routeq_mqtt import Fail, Job, Retry


def tell(event: str, job: Job, *, gate: str | None = None, **more: Any) -> None:
    """Report to the test's recorder, from whichever process; with a gate, wait there."""
    port = int(os.environ["ROUTEQ_TEST_RECORDER"])
    said: dict[str, Any] = {"event": event, "id": job.job_id, "attempt": job.attempts}
    said |= {"pid": os.getpid(), "parent": os.getppid(), **more}
    if gate is not None:
        said["gate"] = gate
    with socket.create_connection(("127.0.0.1", port)) as there:
        there.sendall(json.dumps(said, default=str).encode() + b"\n")
        if gate is not None:
            there.recv(1_000)


class Compute(Job):
    """A plain function, and data that needs its types back."""

    executor = "process"
    key: str
    numbers: tuple[int, ...] = ()

    def handle(self) -> None:
        tell("ran", self, key=self.key, sum=sum(self.numbers))


class ComputeAsync(Job):
    executor = "process"
    key: str

    async def handle(self) -> None:
        tell("ran", self, key=self.key)


class Spins(Job):
    """Holds the interpreter of its process, and never ends."""

    executor = "process"
    timeout = 3
    max_tries = 1

    def handle(self) -> None:
        tell("spins", self)
        while True:
            pass

    async def failed(self, error: BaseException) -> None:
        tell("failed", self, error=str(error))


class Crashes(Job):
    executor = "process"
    max_tries = 2
    how: str

    def handle(self) -> None:
        tell("tried", self)
        if self.how == "exit":
            os._exit(7)
        ctypes.string_at(0)


class Errs(Job):
    executor = "process"
    dont_retry_on = (LookupError,)
    how: str

    def handle(self) -> None:
        tell("tried", self, how=self.how)
        if self.how == "lookup":
            raise KeyError("no such customer")
        if self.how == "fail":
            raise Fail("on purpose")
        if self.attempts == 1:
            raise Retry("not yet", delay=0.1)
        tell("ran", self, key=self.how)


class Waits(Job):
    executor = "process"
    gate: str

    def handle(self) -> None:
        tell("waits", self, gate=self.gate)
        tell("ran", self, key="waits")


class BlocksAThread(Job):
    gate: str

    def handle(self) -> None:
        tell("waits", self, gate=self.gate)
        tell("ran", self, key="thread")


class LateInAThread(Job):
    """Ends after its timeout, and well."""

    timeout = 0.2
    max_tries = 1

    def handle(self) -> None:
        tell("tried", self)
        time.sleep(0.5)  # the thing itself: a thread that cannot be stopped
        tell("ran", self, key="late")


class Who(Job):
    key: str
    gate: str | None = None

    def handle(self) -> None:
        tell("waits" if self.gate else "seen", self, gate=self.gate, key=self.key)
        tell("ran", self, key=self.key)


class Exits(Job):
    """Takes its worker along, once."""

    key: str

    def handle(self) -> None:
        tell("tried", self, key=self.key)
        if self.attempts == 1:
            os._exit(9)
        tell("ran", self, key=self.key)


_hoard: list[bytearray] = []


class Grows(Job):
    """Keeps 200 MB for good."""

    key: str

    def handle(self) -> None:
        _hoard.append(bytearray(b"x") * 200_000_000)
        tell("ran", self, key=self.key)
