"""A worker that was away for longer than its lease gives no job back before it is sure of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

from routeq_mqtt.topics import Topics
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.worker.consume.requeue import Requeuer


class Bus:
    """Writes down what is given back."""

    def __init__(self) -> None:
        self.topics = Topics()
        self.hand_over = self
        self.given: list[bytes] = []

    async def until_taken(self, send: Callable[[], Any], size: int, what: str) -> None:
        await send()

    async def to_scheduler(self, topic: str, payload: bytes) -> None:
        self.given.append(payload)


class Held:
    """A job that waits in the worker."""

    def __init__(self, key: str) -> None:
        self.queue = "default"
        self.job_id = key
        self.payload = b"-"
        self.envelope = Envelope(id=key, job="Report", queue="default", data={"key": key})
        self.dropped = False
        self.holder = MagicMock()


async def test_what_went_to_another_worker_meanwhile_is_not_given_back() -> None:
    bus, sure, asked = Bus(), asyncio.Event(), asyncio.Event()

    async def covered(held: object) -> None:
        asked.set()
        await sure.wait()

    giver = Requeuer(bus, MagicMock(), covered, lambda step: None)  # type: ignore[arg-type]
    ours, adopted = Held("ours"), Held("adopted")
    for held in (ours, adopted):
        giver.give(held)  # type: ignore[arg-type]
    await asked.wait()
    assert bus.given == []
    adopted.dropped = True
    sure.set()
    await giver.finish(5.0)
    assert len(bus.given) == 1
    assert (b"ours" in bus.given[0], b"adopted" in bus.given[0]) == (True, False)
    ours.holder.settle.assert_called_once_with(ours)
    adopted.holder.settle.assert_not_called()


async def test_a_worker_that_was_fenced_gives_nothing_back() -> None:
    bus = Bus()

    async def never(held: object) -> None:
        await asyncio.Future()

    giver = Requeuer(bus, MagicMock(), never, lambda step: None)  # type: ignore[arg-type]
    giver.give(Held("job"))  # type: ignore[arg-type]
    await giver.finish(0.0)
    assert bus.given == []
