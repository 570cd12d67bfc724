"""taskiq: lists for speed (nothing is acknowledged), streams for safety (acknowledged after)."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from taskiq import TaskiqScheduler
from taskiq_redis import ListQueueBroker, ListRedisScheduleSource, RedisStreamBroker

from benchmarks.peers import kit

if TYPE_CHECKING:
    from collections.abc import Sequence

broker = (ListQueueBroker if kit.SPEED else RedisStreamBroker)(kit.REDIS_URL)
source = ListRedisScheduleSource(kit.REDIS_URL)
scheduler = TaskiqScheduler(broker, sources=[source])

_HERE = "benchmarks.peers.adapters.taskiq_"
WORKER = [
    sys.executable, "-m", "taskiq", "worker", f"{_HERE}:broker", "--workers", "1",
    "--log-level", "ERROR", "--max-async-tasks", "100",
    "--ack-type", "when_received" if kit.SPEED else "when_executed",
]  # fmt: skip
BESIDE = [
    sys.executable, "-m", "taskiq", "scheduler", f"{_HERE}:scheduler", "--update-interval", "1",
]  # fmt: skip


@broker.task
async def noop(text: str) -> None:
    kit.count(text)


async def start() -> None:
    await broker.startup()
    await source.startup()


async def bulk(texts: Sequence[str]) -> None:
    for at in range(0, len(texts), 100):
        await asyncio.gather(*(noop.kiq(text) for text in texts[at : at + 100]))


async def one(text: str) -> None:
    await noop.kiq(text)


async def later(delay: float, text: str) -> None:
    await noop.schedule_by_time(source, datetime.now(UTC) + timedelta(seconds=delay), text)
