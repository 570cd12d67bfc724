"""Jobs that return something, or say how far they are."""

from __future__ import annotations

from typing import Any

from routeq_mqtt import Fail, Job
from tests.cluster.jobs import tell, wait_at


class Adds(Job):
    result_ttl = 60
    a: Any
    b: Any

    async def handle(self) -> Any:
        return self.a + self.b


class Returns(Job):
    result_ttl = 60
    value: Any

    async def handle(self) -> Any:
        return self.value


class AddsLater(Adds):
    """Waits at a gate."""

    gate: str

    async def handle(self) -> Any:
        await wait_at(self.gate, self)
        return self.a + self.b


class KeepsNothing(Job):
    async def handle(self) -> str:
        return "nobody asked"


class FailsForGood(Job):
    result_ttl = 60

    async def handle(self) -> None:
        raise Fail("no such customer")


class ReturnsASocket(Job):
    result_ttl = 60

    async def handle(self) -> object:
        await tell("ran", self, key="socket")
        return object()


class TellsProgress(Job):
    """A plain function: it says it from a thread, a hundred thousand times."""

    result_ttl = 60

    def handle(self) -> int:
        for number in range(1, 100_001):
            self.progress(number, 100_000, "counting")
        return number


class TellsProgressFromAProcess(Job):
    """As above, from a process of its own."""

    result_ttl = 60
    executor = "process"

    def handle(self) -> int:
        for number in range(1, 10_001):
            self.progress(number, 10_000, "computing")
        return number


class TellsAndWaits(Job):
    result_ttl = 60

    async def handle(self) -> None:
        self.progress(3, 10, "three of ten")
        await wait_at("told", self)
