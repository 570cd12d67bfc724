"""arq: at least once always (a job is removed after it ran), so one row for both settings."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings

from benchmarks.peers import kit

if TYPE_CHECKING:
    from collections.abc import Sequence

redis: ArqRedis


async def noop(ctx: dict[str, Any], text: str) -> None:
    kit.count(text)


class WorkerSettings:
    functions = [noop]
    redis_settings = RedisSettings(port=kit.REDIS_PORT)
    max_jobs = 100
    keep_result = 0
    poll_delay = 0.1 if kit.SPEED else 0.5


WORKER = [sys.executable, "-m", "arq", "benchmarks.peers.adapters.arq_.WorkerSettings"]


async def start() -> None:
    global redis
    redis = await create_pool(RedisSettings(port=kit.REDIS_PORT))


async def bulk(texts: Sequence[str]) -> None:
    for at in range(0, len(texts), 100):
        await asyncio.gather(*(redis.enqueue_job("noop", t) for t in texts[at : at + 100]))


async def one(text: str) -> None:
    await redis.enqueue_job("noop", text)


async def later(delay: float, text: str) -> None:
    await redis.enqueue_job("noop", text, _defer_by=delay)
