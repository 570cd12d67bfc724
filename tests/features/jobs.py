"""Jobs of the feature tests."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from routeq_mqtt import Fail, Job, Retry, batch_of
from tests.cluster.jobs import tell, wait_at


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
    """Asks for a retry twice, which is not an error; then raises."""

    max_tries = 20
    max_exceptions = 2

    async def handle(self) -> None:
        await tell("tried", self)
        if self.attempts <= 2:
            raise Retry("not yet")
        raise RuntimeError("broken")


class UntilLater(Job):
    """As often as fits."""

    retry_until = 2.0
    retry_after = 0.2

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


class OneAtATime(Job):
    """Unique until it is over."""

    unique_for = 3600
    key: str
    note: str = ""

    def unique_key(self) -> str:
        return self.key

    async def handle(self) -> None:
        await wait_at(f"{self.key} may end", self, key=self.key)
        await tell("ran", self, key=f"{self.key} {self.note}".strip())


class OneWaits(OneAtATime):
    """Unique until it has begun."""

    unique_until = "started"


class Latest(Job):
    """The last one wins."""

    debounce_for = 1.5  # longer than two dispatches are apart on a machine that is busy
    page: int
    text: str

    def unique_key(self) -> int:
        return self.page

    async def handle(self) -> None:
        await tell("ran", self, key=self.text)


class LatestMuchLater(Latest):
    """Waits for longer than any test."""

    debounce_for = 3600


class Seldom(Job):
    throttle_for = 3600
    key: str

    async def handle(self) -> None:
        await tell("ran", self, key=self.key)


def mended() -> bool:
    """Whether the test has mended what fails."""
    return Path(os.environ.get("ROUTEQ_TEST_MENDED", "/nowhere")).exists()


class Part(Job):
    """Of a batch, or of a chain."""

    key: str
    gate: str | None = None
    fails: bool = False
    max_tries = 1

    async def handle(self) -> None:
        if self.gate is not None:
            await wait_at(self.gate, self, key=self.key)
        if self.fails and not mended():
            raise RuntimeError("broken")
        await tell("ran", self, key=self.key)


class Step(Part):
    """One that outlives its workers."""

    max_tries = 20


class AddsMore(Job):
    """Adds to its own batch."""

    more: int

    async def handle(self) -> None:
        await batch_of(self).add([Part(key=f"added {n}") for n in range(self.more)])
        await tell("ran", self, key="grows")


class PerDevice(Job):
    """One at a time for each device, whichever class asks for it."""

    concurrency_limit = 1
    device: str
    key: str
    gate: str | None = None

    def concurrency_key(self) -> str:
        return f"device {self.device}"

    async def handle(self) -> None:
        await tell("began", self, key=self.key, device=self.device)
        if self.gate is not None:
            await wait_at(self.gate, self, key=self.key)
        await tell("ran", self, key=self.key, device=self.device)


class Everywhere(PerDevice):
    """One at a time for each device, in whichever queue."""

    across_queues = True


class Rated(Job):
    rate_limit = (3, 3600)
    key: str

    async def handle(self) -> None:
        await tell("ran", self, key=self.key)


class Install(Job):
    """On a device, which says its own name."""

    key: str = "install"
    gate: str | None = None
    fails_on: str = ""

    async def handle(self) -> None:
        device = os.environ["ROUTEQ_TEST_DEVICE"]
        if self.gate is not None:
            await wait_at(self.gate, self, key=device)
        if device == self.fails_on:
            raise Fail("broken")
        await tell("ran", self, key=device)
