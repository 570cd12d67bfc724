"""Scheduled jobs: an app of its own, since schedules are announced by whoever imports them."""

from __future__ import annotations

from routeq_mqtt import Job, cron, every
from tests.cluster.jobs import tell


@every(seconds=1)
class Pulse(Job):
    async def handle(self) -> None:
        await tell("ran", self, key=self.headers["tick"] if self.headers else None)


@every(days=365, name="yearly")
class Rare(Job):
    note: str = "by hand"

    async def handle(self) -> None:
        await tell("ran", self, key=self.note)


@cron("0 3 * * *", timezone="Europe/Berlin")
class Nightly(Job):
    async def handle(self) -> None:
        await tell("ran", self, key="nightly")
