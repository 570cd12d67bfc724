"""Jobs of `test_bounds`."""

from __future__ import annotations

from routeq_mqtt import Job
from tests.cluster.jobs import tell


class Forever(Job):
    """Releases itself for ever."""

    retry_until = 1.0

    async def handle(self) -> None:
        await tell("tried", self)
        self.release(0.2)


class Big(Job):
    size: int

    async def handle(self) -> str:
        return "x" * self.size


class Heavy(Job):
    key: str
    text: str

    async def handle(self) -> None:
        await tell("ran", self, key=self.key)
