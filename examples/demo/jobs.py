"""The jobs of the demo."""

from __future__ import annotations

import asyncio

from routeq_mqtt import Fail, Job


class Greet(Job):
    whom: str

    async def handle(self) -> None:
        await asyncio.sleep(0.05)


class CallFlakyService(Job):
    """Fails twice, then succeeds."""

    backoff = [0.3, 0.6]

    async def handle(self) -> None:
        if self.attempts < 3:
            raise ConnectionError("the service does not answer")


class ChargeCard(Job):
    """Fails permanently: no further attempts."""

    async def handle(self) -> None:
        raise Fail("the card is stolen")


class ParseFile(Job):
    """Uses up all its attempts."""

    max_tries = 2

    async def handle(self) -> None:
        raise ValueError("line 3 is not a number")


class ResizeImage(Job):
    """A plain function: it runs in a thread."""

    width: int

    def handle(self) -> None:
        sum(range(self.width * 1000))
