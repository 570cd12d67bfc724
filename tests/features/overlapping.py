"""A schedule whose job takes longer than its interval, one at a time."""

from __future__ import annotations

from routeq_mqtt import Job, every
from tests.cluster.jobs import tell, wait_at


@every(seconds=1)
class Slow(Job):
    without_overlapping = True

    async def handle(self) -> None:
        await wait_at("go", self, key="slow")
        await tell("ran", self, key=self.job_id)
