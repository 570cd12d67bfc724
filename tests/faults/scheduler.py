"""A scheduler that kills itself with SIGKILL at a step: the test's own entry point.

ROUTEQ_TEST_DIE_AT="after commit;3" kills it when it comes to that step for the third time.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from routeq_mqtt.cli.common import set_up_logging
from routeq_mqtt.cli.processes.signals import stopping
from routeq_mqtt.scheduler.context import no_hook
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.scheduler.store.engines.postgres.url import place_of
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.aio import AioTransport

VARIABLE = "ROUTEQ_TEST_DIE_AT"

STEPS = (
    "before commit",
    "after commit",
    "released",
    "published",
    "adopting: before commit",
    "adopting: after commit",
)


class DieAt:
    """A `Hook`: counts how often a step is reached."""

    def __init__(self, wanted: str) -> None:
        self._step, _, times = wanted.partition(";")
        self._left = int(times or 1)

    def __call__(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                print(f"dies at: {step}", flush=True)  # noqa: T201
                os.kill(os.getpid(), signal.SIGKILL)


async def main(db: str, *, force: bool) -> None:
    chosen = Settings.from_environment()
    wanted = os.environ.get(VARIABLE)
    service = Scheduler(
        AioTransport(chosen.address()),
        SchedulerOptions(db=place_of(db)),
        topics=chosen.topics(),
        hook=DieAt(wanted) if wanted else no_hook,
    )
    with stopping(service.stop):
        if force:
            store = await Store.open(place_of(db))  # past the guard, as two do that start at once
            try:
                await service._work(store)
            finally:
                await store.close()
        else:
            await service.run()


if __name__ == "__main__":
    set_up_logging("info")
    asyncio.run(main(sys.argv[1], force="force" in sys.argv))
