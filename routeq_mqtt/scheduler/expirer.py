"""Makes failed records of jobs that nobody took in time, when their time is over."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.rows import StoreUnavailable

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context

log = logging.getLogger(__name__)

_BATCH = 500
_STORE_AGAIN = 1.0
_LOOK_EVERY = 10.0
"""Seconds of waiting at most while jobs expire: the wall clock may be set meanwhile."""


class Expirer:
    """Looks whenever a job came that expires, and when the next one does.

    What a worker holds, it looks at itself when it starts it.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    async def run(self) -> None:
        """Expire, then wait; where nothing expires, nothing is looked up."""
        parked = self._context.parked
        while True:
            since = parked.fired
            wait = None
            if self._context.expiring:
                try:
                    wait = await self.expire()
                except StoreUnavailable as error:
                    log.error("cannot expire, rows wait: error=%s", error)
                    await asyncio.sleep(_STORE_AGAIN)
                    continue
            await parked.wait(wait, since=since)

    async def expire(self) -> float | None:
        """One pass; seconds until the next one."""
        context = self._context
        context.expiring = False  # whoever brings another one meanwhile says so again
        try:
            now = context.clock.now()
            while ids := await context.store.expire(now, _BATCH):
                context.results.ended(ids)
                await context.results.look()  # an aborted rollout went with them
                context.parked.fire()
            following, any_left = await context.store.next_expiry(now)
        except BaseException:
            context.expiring = True
            raise
        context.expiring = context.expiring or any_left
        if following is None:
            return None
        return min(max(0.0, following - context.clock.now()), _LOOK_EVERY)
