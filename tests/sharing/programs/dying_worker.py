"""A worker that dies at a step of giving jobs back: `python -m … STEP`, as kill -9 would end it."""

from __future__ import annotations

import asyncio
import os
import sys

import tests.cluster.jobs  # noqa: F401 - registers them
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker


def die_at(step: str) -> None:
    if step == sys.argv[1]:
        os._exit(9)


async def main() -> None:
    settings = Settings.from_environment()
    options = WorkerOptions(concurrency=1, prefetch=20)
    worker = Worker(
        AioTransport(settings.address()), options, topics=settings.topics(), hook=die_at
    )
    running = asyncio.create_task(worker.run())
    await worker.online.wait()
    sys.stdout.write("online\n")
    sys.stdout.flush()
    await running


if __name__ == "__main__":
    asyncio.run(main())
