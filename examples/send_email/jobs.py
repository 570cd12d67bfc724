"""A job class with annotated fields, and retries with exponential backoff."""

from __future__ import annotations

from routeq_mqtt import Exponential, Job


class SendEmail(Job):
    queue = "emails"
    max_tries = 5
    timeout = 30
    backoff = Exponential(base=1, cap=60)

    to: str
    subject: str = "Hello"

    async def handle(self) -> None:
        print(f"to={self.to} subject={self.subject!r} attempt={self.attempts}", flush=True)

    async def failed(self, error: BaseException) -> None:
        print(f"gave up on {self.to}: {error}", flush=True)
