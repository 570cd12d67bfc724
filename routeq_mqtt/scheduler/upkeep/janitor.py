"""Deletes the tombstones of jobs that were done long ago."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.rows import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.scheduler.context import Context

log: logging.Logger = logging.getLogger(__name__)

_EVERY = 60.0
_PAUSE = 0.05


class Janitor:
    """Tombstones tell a job that was done from a new one: 7 days for durable ones, 10 minutes else.

    Args:
        context: what the roles share.
        tidiers: clean up once a minute, too.
    """

    def __init__(self, context: Context, *tidiers: Callable[[float], Awaitable[None]]) -> None:
        self._context = context
        self._tidiers = tidiers

    async def run(self) -> None:
        """Purge once a minute, a little at a time."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                while await self._context.store.purge(self._context.clock.now()):
                    await asyncio.sleep(_PAUSE)
                for tidy in self._tidiers:
                    await tidy(self._context.clock.now())
            except StoreUnavailable as error:
                log.warning("cannot purge: %s", error)
