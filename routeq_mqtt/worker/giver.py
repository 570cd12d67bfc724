"""Gives jobs back that have not been started: to the scheduler, then the original is acknowledged.

| the worker dies | what then |
|---|---|
| before the PUBACK of `routeq/back` | the original waits in the session and is adopted |
| between that and the original's own | it is adopted, too, but a row takes one delivery only once |
| after that | the row is all there is |
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost, NoScheduler, PublishRefused
from routeq_mqtt.wire.packing import pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.bus.sender import Sender
    from routeq_mqtt.worker.held import Held
    from routeq_mqtt.worker.pool import Pool

log = logging.getLogger(__name__)

_MOST = 200
_MOST_BYTES = 64 * 1024


class Giver:
    """See the module.

    Args:
        sender: sends them.
        pool: where a job waits again that nobody took.
        hook: called at each step that a fault test may want to die at.
    """

    def __init__(self, sender: Sender, pool: Pool, hook: Callable[[str], None]) -> None:
        self._sender = sender
        self._pool = pool
        self._hook = hook
        self._giving: list[Held] = []
        self._flushing = False
        self._tasks: set[asyncio.Task[None]] = set()

    def give(self, held: Held) -> None:
        """Give one job back, soon; one without an id stays: nothing would tell its copies apart."""
        if held.envelope is None or held.envelope.id is None:
            self._pool.add(held)
            return
        self._giving.append(held)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def finish(self, timeout: float) -> None:
        """Wait until what was given is safe, `timeout` seconds at most; the rest is adopted."""
        self._flush()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        for task in self._tasks:
            task.cancel()

    def _flush(self) -> None:
        self._flushing = False
        giving, self._giving = self._giving, []
        while giving:
            size = number = 0
            while number < min(len(giving), _MOST) and size < _MOST_BYTES:
                size += len(giving[number].payload)
                number += 1
            part, giving = giving[:number], giving[number:]
            task = asyncio.create_task(self._give(part), name=f"give-back-{part[0].job_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _give(self, part: list[Held]) -> None:
        jobs = [(held.queue, held.envelope.encode()) for held in part if held.envelope is not None]
        self._hook("giving back")
        taken = await self._until_taken(pack(jobs))
        self._hook("given back")
        for held in part:
            if taken:
                held.holder.settle(held)
            elif not held.dropped:
                self._pool.add(held)
        self._hook("acknowledged")

    async def _until_taken(self, payload: bytes) -> bool:
        while True:
            try:
                await self._sender.to_scheduler(self._sender.topics.back, payload)
            except ConnectionLost:
                continue  # a second copy changes nothing
            except (NoScheduler, PublishRefused) as error:
                log.warning("jobs that were given back stay here: %s", error)
                return False
            return True
