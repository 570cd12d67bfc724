"""Jobs of a program whose tests use a fake bus."""

from __future__ import annotations

from typing import Any

from routeq_mqtt import Exponential, Job, batch_of, dispatch

ran: list[Any] = []
"""What the jobs did, in order; emptied before each test."""


class Mail(Job):
    name = "fake.Mail"
    queue = "mail"
    to: str
    parts: tuple[int, ...] = ()

    async def handle(self) -> None:
        ran.append(("mail", self.to))


class UrgentMail(Mail):
    name = "fake.UrgentMail"


class Other(Job):
    name = "fake.Other"

    async def handle(self) -> None:
        ran.append("other")


class Anything(Job):
    name = "fake.Anything"

    def __init__(self) -> None:
        self.value: Any = None

    async def handle(self) -> None: ...


class Sum(Job):
    name = "fake.Sum"
    result_ttl = 60
    numbers: list[int]

    def handle(self) -> int:  # in a thread
        return sum(self.numbers)


class Charge(Job):
    name = "fake.Charge"
    max_tries = 3
    backoff = Exponential(base=60)
    card: str

    async def handle(self) -> None:
        ran.append(("attempt", self.attempts))
        if self.card == "stolen":
            raise PermissionError("this card is stolen")
        if self.attempts < 2:
            raise ConnectionError("bank not reached")

    async def failed(self, error: BaseException) -> None:
        ran.append(("gave up", str(error)))


class Impatient(Job):
    """Is tried as often as fits into 100 seconds, every 40."""

    name = "fake.Impatient"
    retry_after = 40
    retry_until = 100

    async def handle(self) -> None:
        ran.append(self.attempts)
        raise ConnectionError("still not there")


class Locked(Job):
    name = "fake.Locked"

    async def handle(self) -> None:
        ran.append(("try", self.attempts))
        if len(ran) < 2:
            self.release(30)


class Parent(Job):
    name = "fake.Parent"

    async def handle(self) -> None:
        await dispatch(Mail(to="child"))
        await dispatch(Mail(to="grandchild"), delay=10)
        ran.append("parent")


class Again(Job):
    name = "fake.Again"

    async def handle(self) -> None:
        await dispatch(Again())


class Single(Job):
    name = "fake.Single"
    unique_for = 60

    async def handle(self) -> None:
        ran.append("single")


class Last(Job):
    name = "fake.Last"
    debounce_for = 10
    number: int

    def unique_key(self) -> str:
        return "one"

    async def handle(self) -> None:
        ran.append(("last", self.number))


class Seldom(Job):
    name = "fake.Seldom"
    throttle_for = 60
    number: int

    def unique_key(self) -> str:
        return "one"

    async def handle(self) -> None:
        ran.append(("seldom", self.number))


class Breaks(Job):
    name = "fake.Breaks"
    max_tries = 1

    async def handle(self) -> None:
        raise RuntimeError("broken")


class Grows(Job):
    """Adds to its own batch."""

    name = "fake.Grows"

    async def handle(self) -> None:
        await batch_of(self).add([Mail(to="more")])
        ran.append("grows")


class Limited(Job):
    name = "fake.Limited"
    rate_limit = (1, 60)

    async def handle(self) -> None:
        ran.append("limited")
