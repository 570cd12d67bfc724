"""Lets limited jobs through, as their limits allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.passes import repeat

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.features.limits import Limits

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
        self._served: frozenset[str] | None = None

    async def run(self) -> None:
        """Grant, then wait; where nothing is limited, nothing is looked up."""
        await repeat(self._look, self._context.parked, "cannot grant, limited jobs wait")

    async def _look(self) -> float | None:
        return await self.grant() if self._context.limited else None

    async def grant(self) -> float | None:
        """One pass; seconds until the next one."""
        context = self._context
        served = context.served()
        moved, self._served = served != self._served, served
        try:
            granted, wait = await self._limits.grant(
                context.clock.now(), served.__contains__, moved=moved
            )
        except BaseException:
            self._served = None
            raise
        context.hook("granted")
        if granted:
            context.parked.notify()
        else:
            context.limited = wait is not None or await self._limits.any()
        return None if wait is None else min(wait, _LOOK_EVERY)
