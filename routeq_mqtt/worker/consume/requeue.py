"""Gives jobs back that have not been started: to the scheduler, then the original is acknowledged.

| the worker dies | what then |
|---|---|
| before the PUBACK of `routeq/back` | the original waits in the session and is adopted |
| between that and the original's own | it is adopted, too, but a row takes one delivery only once |
| after that | the row is all there is |

A worker that was stopped for longer than its lease gives nothing back before it knows that the jobs
are still its own: another worker may have run them, and nothing would tell the scheduler so.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import NoScheduler, PublishRefused
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.wire.messages.given_back import encode_given_back

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.worker.consume.pool import Pool
    from routeq_mqtt.worker.delivery import Delivery

log: logging.Logger = logging.getLogger(__name__)

_MOST = 200
_MOST_BYTES = 64 * 1024


class Requeuer:
    """Gives jobs that have not been started back to the scheduler.

    Args:
        sender: sends them.
        pool: where a job waits again that was not accepted.
        covered: waits until a job is surely still ours; see `Lease`.
        hook: called at each step that a fault test may want to die at.
    """

    def __init__(
        self,
        sender: Sender,
        pool: Pool,
        covered: Callable[[Delivery], Awaitable[None]],
        hook: Callable[[str], None],
    ) -> None:
        self._sender = sender
        self._pool = pool
        self._covered = covered
        self._hook = hook
        self._giving: list[Delivery] = []
        self._flushing = False
        self._tasks = Tasks()

    def give(self, held: Delivery) -> None:
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
            await asyncio.wait(set(self._tasks), timeout=timeout)
        self._tasks.cancel()

    def _flush(self) -> None:
        self._flushing = False
        giving, self._giving = self._giving, []
        while giving:
            size = number = 0
            while number < min(len(giving), _MOST) and size < _MOST_BYTES:
                size += len(giving[number].payload)
                number += 1
            part, giving = giving[:number], giving[number:]
            self._tasks.start(self._give(part), f"give-back-{part[0].job_id}")

    async def _give(self, part: list[Delivery]) -> None:
        for held in part:
            await self._covered(held)
        part = [held for held in part if not held.dropped]
        if not part:
            return
        jobs = [(held.queue, held.envelope.encode()) for held in part if held.envelope is not None]
        self._hook("giving back")
        taken = await self._until_taken(encode_given_back(jobs))
        self._hook("given back")
        for held in part:
            if taken:
                held.holder.settle(held)
            elif not held.dropped:
                self._pool.add(held)
        self._hook("acknowledged")

    async def _until_taken(self, payload: bytes) -> bool:
        sender = self._sender
        try:  # a second copy changes nothing
            await sender.hand_over.until_taken(
                lambda: sender.to_scheduler(sender.topics.back, payload), len(payload), "jobs"
            )
        except (NoScheduler, PublishRefused) as error:
            log.warning("jobs that were given back stay here: %s", error)
            return False
        return True
