"""Jobs of the feature tests."""

from __future__ import annotations

import asyncio

from routeq_mqtt import Job, Retry
from tests.bed.jobs import tell


class Picky(Job):
    """Some errors are not worth another try."""

    max_tries = 5
    dont_retry_on = (LookupError,)

    async def handle(self) -> None:
        await tell("tried", self)
        if self.attempts == 2:
            raise KeyError("gone")
        raise RuntimeError("worth a try")


class Slow(Job):
    timeout = 0.1
    fail_on_timeout = True

    async def handle(self) -> None:
        await tell("tried", self)
        await asyncio.Event().wait()


class Bounded(Job):
    """Asks for a retry twice, which is no error; then raises."""

    max_tries = 20
    max_exceptions = 2

    async def handle(self) -> None:
        await tell("tried", self)
        if self.attempts <= 2:
            raise Retry("not yet")
        raise RuntimeError("broken")


class UntilLater(Job):
    """As often as fits."""

    retry_until = 0.6
    retry_after = 0.1

    async def handle(self) -> None:
        await tell("tried", self)
        raise RuntimeError("not yet")


class Locked(Job):
    """Released twice, and that counts for nothing."""

    max_tries = 1
    delay: float

    async def handle(self) -> None:
        await tell("tried", self)
        tried = tried_by.setdefault(str(self.job_id), [])
        tried.append(self.attempts)
        if len(tried) < 3:
            self.release(self.delay)
        await tell("ran", self, key=tried)


tried_by: dict[str, list[int]] = {}
