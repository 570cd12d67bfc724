"""How packed jobs get to the next place that holds them, however often the connection breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from routeq_mqtt.bus.send.retry import ReconnectLimit, retry_across_reconnects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.outbox.options import Confirm
    from routeq_mqtt.topics import Topics

_STORE_AGAIN = 2.0
"""Seconds until a durable dispatch without a reply is sent again; its ids are dropped if known."""


class _Bus(Protocol):
    @property
    def sender(self) -> Sender: ...
    @property
    def requests(self) -> Requests: ...


class JobRouter:
    """The broker and the scheduler, as those that a job is given to.

    Each method tries again with the next connection, until it is cancelled (a caller sets the
    limit), or until it has ended so often that this is a refusal: `PublishRefused`. What the broker
    had already taken then comes twice, under one id.

    Args:
        bus: the connection, opened on first use.
        topics: of the bus.
        timeout: seconds that the scheduler may take to answer.
    """

    def __init__(self, bus: _Bus, topics: Topics, timeout: float) -> None:
        self._bus = bus
        self._topics = topics
        self._timeout = timeout

    async def hand_over(
        self, queue: str, payload: bytes, confirm: Confirm | None, timeout: float | None
    ) -> None:
        """A job that runs now: to the broker, or to the scheduler with ``confirm="stored"``."""
        if confirm == "stored":
            await self.store(queue, [payload], timeout)
        else:
            await self._until_held(queue, payload)

    async def _until_held(self, queue: str, payload: bytes) -> None:
        sender = self._bus.sender
        await sender.hand_over.until_taken(
            lambda: sender.send(queue, payload),
            len(payload),
            f"a job for queue {queue!r}",
            refusals=1,
        )

    async def schedule(self, payload: bytes) -> None:
        """A job that runs later: to the topic that the scheduler reads."""
        topic = self._topics.schedule
        sender = self._bus.sender
        await sender.hand_over.until_taken(
            lambda: sender.to_scheduler(topic, payload),
            len(payload),
            f"a message to {topic!r}",
            refusals=1,
        )

    async def send_all(self, packed: Sequence[tuple[str, bytes]]) -> None:
        """Jobs that run now, queue and payload of each, to the broker."""
        insistence = ReconnectLimit(f"each of {len(packed)} jobs")
        while packed:
            unconfirmed = await self._bus.sender.send_many(packed)
            if len(unconfirmed) == len(packed):
                insistence.struck()
            else:
                insistence.answered()
            packed = unconfirmed

    async def store(
        self, queue: str, payloads: list[bytes], timeout: float | None, **more: object
    ) -> list[str]:
        """Have the scheduler take in jobs in one transaction.

        Args:
            queue: whose topic the request goes to.
            payloads: the jobs.
            timeout: seconds; None: the settings'.
            **more: further parts of the request.

        Returns:
            Their ids, or those of the jobs that are there already.
        """
        limit = self._timeout if timeout is None else timeout
        topic = self._topics.store(queue)
        ids: list[str] = await retry_across_reconnects(
            lambda: self._bus.requests.exchange(
                topic, payloads, timeout=limit, again=_STORE_AGAIN, **more
            ),
            f"a message to {topic!r}",
        )
        return ids

    async def store_all(
        self, packed: Sequence[tuple[str, bytes]], timeout: float | None
    ) -> list[str]:
        """Have jobs of several queues stored; the scheduler's answers, in order."""
        by_queue: dict[str, list[int]] = {}
        for number, (queue, _) in enumerate(packed):
            by_queue.setdefault(queue, []).append(number)
        answers = [""] * len(packed)
        for queue, numbers in by_queue.items():
            taken = await self.store(queue, [packed[number][1] for number in numbers], timeout)
            for number, job_id in zip(numbers, taken, strict=True):
                answers[number] = job_id
        return answers
