"""SAQ: at least once by its sweeper, always; results are not kept."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

from saq import Queue

from benchmarks.peers import kit

if TYPE_CHECKING:
    from collections.abc import Sequence

queue = Queue.from_url(kit.REDIS_URL, name="peer")


async def noop(ctx: dict[str, Any], *, text: str) -> None:
    kit.count(text)


settings = {
    "queue": queue,
    "functions": [noop],
    "concurrency": 100 if kit.SPEED else 10,
    "timers": {"schedule": 1},
}

WORKER = [sys.executable, "-m", "saq", "benchmarks.peers.adapters.saq_.settings", "--quiet"]


async def start() -> None:
    await queue.connect()


async def bulk(texts: Sequence[str]) -> None:
    for at in range(0, len(texts), 100):
        await asyncio.gather(
            *(queue.enqueue("noop", text=text, ttl=-1) for text in texts[at : at + 100])
        )


async def one(text: str) -> None:
    await queue.enqueue("noop", text=text, ttl=-1)


async def later(delay: float, text: str) -> None:
    await queue.enqueue("noop", text=text, ttl=-1, scheduled=time.time() + delay)
