"""Makes failed records of jobs that no worker took before they expired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.passes import repeat

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context

_BATCH = 500
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
        await repeat(self._look, self._context.parked, "cannot expire, rows wait")

    async def _look(self) -> float | None:
        return await self.expire() if self._context.expiring else None

    async def expire(self) -> float | None:
        """One pass; seconds until the next one."""
        context = self._context
        context.expiring = False  # whoever brings another one meanwhile says so again
        try:
            now = context.clock.now()
            while ids := await context.store.expire(now, _BATCH):
                context.results.ended(ids)
                await context.results.look()  # an aborted rollout went with them
                context.parked.notify()
            following, any_left = await context.store.next_expiry(now)
        except BaseException:
            context.expiring = True
            raise
        context.expiring = context.expiring or any_left
        if following is None:
            return None
        return min(max(0.0, following - context.clock.now()), _LOOK_EVERY)
