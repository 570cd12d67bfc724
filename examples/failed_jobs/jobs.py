"""A job that fails, and how its class handles the failure."""

from __future__ import annotations

from routeq_mqtt import Fail, Job, Retry


class ChargeCard(Job):
    queue = "payments"
    max_tries = 2
    backoff = [0.1]

    card: str

    async def handle(self) -> None:
        if self.card == "stolen":
            raise Fail("this card is stolen")  # no more tries
        if self.card == "busy" and self.attempts == 1:
            raise Retry("the bank is busy", delay=0.2)
        if self.card == "broken":
            raise RuntimeError("the terminal is broken")
        print(f"charged {self.card}", flush=True)

    async def failed(self, error: BaseException) -> None:
        print(f"could not charge {self.card}: {error}", flush=True)
