"""Lets limited jobs through, as their limits allow."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.rows import StoreUnavailable

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.limits import Limits

log = logging.getLogger(__name__)

_STORE_AGAIN = 1.0
_LOOK_EVERY = 10.0
"""Seconds of waiting at most for a token: the wall clock may be set meanwhile."""


class Limiter:
    """Looks whenever a job came or ended, and when a token is due.

    Args:
        context: what the roles share.
        limits: grants jobs their turn.
    """

    def __init__(self, context: Context, limits: Limits) -> None:
        self._context = context
        self._limits = limits

    async def run(self) -> None:
        """Grant, then wait; where nothing is limited, nothing is looked up."""
        parked = self._context.parked
        while True:
            since = parked.fired
            wait = None
            if self._context.limited:
                try:
                    wait = await self.grant()
                except StoreUnavailable as error:
                    log.error("cannot grant, limited jobs wait: error=%s", error)
                    await asyncio.sleep(_STORE_AGAIN)
                    continue
            await parked.wait(wait, since=since)

    async def grant(self) -> float | None:
        """One pass; seconds until the next one."""
        context = self._context
        granted, wait = await self._limits.grant(context.clock.now(), context.is_served)
        context.hook("granted")
        if granted:
            context.parked.fire()
        else:
            context.limited = wait is not None or await self._any()
        return None if wait is None else min(wait, _LOOK_EVERY)

    async def _any(self) -> bool:
        counts = await self._context.store.counts()
        return any(count.limited for count in counts.values())
