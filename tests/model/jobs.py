"""The jobs of the model: they tell the world when they start and when they are done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from routeq_mqtt import Fail, Job, Retry

if TYPE_CHECKING:
    from tests.model.world import World

WORLDS: list[World] = []
"""The world that runs now, alone."""


class Work(Job):
    """Takes `seconds`, fails in its first `fails` attempts, and gives up where it is `hopeless`."""

    name = "model.Work"  # the faults have one, too
    max_tries = 50
    backoff = 0.0
    key: str
    seconds: float = 0.0
    fails: int = 0
    wait: float = 0.0
    hopeless: bool = False

    async def handle(self) -> None:
        world = WORLDS[-1]
        run = world.started(str(self.job_id), self.attempts, self.key)
        await asyncio.sleep(self.seconds)
        if self.hopeless:
            world.again(run)  # the failed record is on its way as a retry would be
            raise Fail("hopeless")
        if self.attempts <= self.fails:
            world.again(run)
            raise Retry("not yet", delay=self.wait)
        world.finished(run)
