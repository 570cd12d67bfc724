"""Whether a session is in the group of its queue, for two reasons that know nothing of each other.

Orders and the stop of the worker close it; sharing steps out and in again, for as long as no slot
is free here. Where the scheduler deals, there is no group, but a topic of the session's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost
from routeq_mqtt.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.transport.base import Connection


class Membership:
    """Joins and leaves the share group of one queue.

    Args:
        choose: what to subscribe to for the queue, by what is known of the bus now.
        joined: called when the group was joined that was closed to us.

    Attributes:
        closed: no new jobs until we are told otherwise.
        away: no new jobs until a slot is free.
        subscribed: filters of queues that the broker's session may have.
    """

    def __init__(self, choose: Callable[[], tuple[str, ...]], joined: Callable[[], None]) -> None:
        self.closed: bool = False
        self.away: bool = False
        self.subscribed: set[str] = set()
        self._choose = choose
        self._filters = choose()
        self._joined = joined
        self._tasks = Tasks()

    def filters(self, *, is_new: bool) -> tuple[str, ...]:
        """What to subscribe to at a connect.

        Args:
            is_new: the session has no subscriptions yet.
        """
        if is_new:
            self.subscribed.clear()
        self._filters = self._choose()
        self.subscribed.update(self._open())
        return self._open()

    async def drop_others(self, connection: Connection) -> None:
        """After a connect: end the subscriptions that we left, or tried to, while it was away.

        Raises:
            ConnectionLost: the connection ended first.
        """
        others = self.subscribed.difference(self._open())
        if others:
            await self._unsubscribe(connection, tuple(sorted(others)))

    def _open(self) -> tuple[str, ...]:
        return () if self.closed or self.away else self._filters

    def change(
        self, connection: Connection | None, *, closed: bool | None = None, away: bool | None = None
    ) -> None:
        """Set one of the reasons, and join or leave if that makes a difference."""
        before = self._open()
        self.closed = self.closed if closed is None else closed
        self.away = self.away if away is None else away
        after = self._open()
        if before == after or connection is None or connection.lost.done():
            return
        # Sent, not waited for: the answer may lie behind what we do not read any more.
        # The next connection does so by itself, should this one end first.
        change = self._join(connection, tell=closed is False) if after else self._leave(connection)
        self._tasks.start(change, f"membership-{self._filters[0]}", expected=(ConnectionLost,))

    def follow(self, connection: Connection | None) -> None:
        """The scheduler may have begun to deal, or ceased to: subscribe to what brings jobs now."""
        old, self._filters = self._filters, self._choose()
        if old == self._filters or not self._open():
            return
        if connection is not None and not connection.lost.done():
            moving = self._move(connection, old)
            self._tasks.start(moving, f"follow-{old[0]}", expected=(ConnectionLost,))

    async def _move(self, connection: Connection, old: tuple[str, ...]) -> None:
        await self._join(connection, tell=True)
        await self._unsubscribe(connection, old)

    async def _join(self, connection: Connection, *, tell: bool) -> None:
        self.subscribed.update(self._filters)
        await connection.subscribe(*self._filters)
        if tell:
            self._joined()

    async def _leave(self, connection: Connection) -> None:
        await self._unsubscribe(connection, self._filters)

    async def _unsubscribe(self, connection: Connection, filters: tuple[str, ...]) -> None:
        await connection.unsubscribe(*filters)
        self.subscribed -= set(filters) - set(self._open())  # it may have joined again meanwhile

    async def forget(self) -> None:
        """Wait for no answer."""
        await self._tasks.close()
