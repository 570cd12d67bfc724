"""Whether a session is in the group of its queue, for two reasons that know nothing of each other.

Orders and the stop of the worker close it; sharing steps out and in again, for as long as no slot
is free here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.transport.seam import Connection


class Membership:
    """See the module.

    Args:
        filters: the shared filters of the queue.
        joined: called when the group was joined that was closed to us.

    Attributes:
        closed: no new jobs until we are told otherwise.
        away: no new jobs until a slot is free.
    """

    def __init__(self, filters: tuple[str, str], joined: Callable[[], None]) -> None:
        self.closed = False
        self.away = False
        self._filters = filters
        self._joined = joined
        self._asking: asyncio.Future[Any] | None = None

    def filters(self) -> tuple[str, ...]:
        """What to subscribe to at a connect."""
        return () if self.closed or self.away else self._filters

    def change(
        self, connection: Connection | None, *, closed: bool | None = None, away: bool | None = None
    ) -> None:
        """Set one of the reasons, and join or leave if that makes a difference."""
        before = self.filters()
        self.closed = self.closed if closed is None else closed
        self.away = self.away if away is None else away
        after = self.filters()
        if before == after or connection is None or connection.lost.done():
            return
        # Sent, not waited for: the answer may lie behind what we do not read any more.
        change = connection.subscribe if after else connection.unsubscribe
        self._asking = asyncio.ensure_future(change(*self._filters))
        if after and closed is False:
            self._asking.add_done_callback(self._has_joined)

    def _has_joined(self, joining: asyncio.Future[Any]) -> None:
        if not joining.cancelled() and joining.exception() is None:
            self._joined()

    async def forget(self) -> None:
        """Wait for no answer."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
