"""When the sessions are asked what they hold: after each connect, and when it may have changed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.recovery.reaper import PATIENCE
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.tasks import Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.lifecycle.presence import Presence
    from routeq_mqtt.scheduler.recovery.census import Census
    from routeq_mqtt.scheduler.recovery.reaper import Reaper
    from routeq_mqtt.transport.base import Connection

log: logging.Logger = logging.getLogger(__name__)

_ASK_AGAIN = 5.0
"""Seconds until sessions that did not answer are asked again."""

_STORE_AGAIN = 1.0
_GATHER = 0.2
"""Seconds in which changes of the fleet are gathered into one census."""


class CensusRounds:
    """Decides when the worker sessions are asked which jobs they hold.

    Args:
        context: what the roles share.
        census: asks.
        reaper: learns of each connect but the first one.
        presence: learns of the first one.
    """

    def __init__(
        self, context: Context, census: Census, reaper: Reaper, presence: Presence
    ) -> None:
        self._context = context
        self._census = census
        self._reaper = reaper
        self._presence = presence
        self._moved = Notifier()
        self._census_due = False

    async def run(self) -> None:
        """After each connect, and then for as long as the connection holds."""
        while True:
            connection = await self._context.link.ready()
            await self.connected(connection)
            await self._keep_asking(connection)

    def fleet_moved(self) -> None:
        """A worker came or went.

        Rows may have gone out to a group that was empty. A scheduler that is informed with reason
        0x10 has parked them again; on other brokers only a census finds them.
        """
        around = self._context.surroundings
        self._census_due |= not (around.reports_no_subscribers or around.shares_queue)
        self._moved.notify()

    async def connected(self, connection: Connection) -> None:
        """One pass: a new census, and the other roles look anew."""
        context, again = self._context, self._presence.online.is_set()
        context.reply_late()
        if not (again or context.surroundings.shares_queue):
            self._expect_workers()
        await self._ask(self._census.ask)
        context.fleet_changed.notify()
        context.parked.notify()
        if again:
            self._reaper.reconnected()
        else:
            self._presence.came_online()

    def _expect_workers(self) -> None:
        """Those that the broker has forgotten come back by themselves; then all are asked."""
        self._census.expect_workers(PATIENCE)

        def ask_all() -> None:
            self._census_due = True
            self._moved.notify()

        asyncio.get_running_loop().call_later(PATIENCE, ask_all)

    async def _keep_asking(self, connection: Connection) -> None:
        """Sessions to ask again; all of them where rows may have gone to an empty group."""
        while not connection.lost.done():
            async with Scope() as scope:
                moved = scope.start(self._moved.wait(_ASK_AGAIN), "fleet-moved")
                either: set[asyncio.Future[Any]] = {connection.lost, moved}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if moved.cancelled():
                continue
            if not self._census_due:
                await self._ask(self._census.ask_again)
            else:
                await asyncio.sleep(_GATHER)
                self._census_due = False
                await self._ask(self._census.ask)

    async def _ask(self, ask: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await ask()
            except StoreUnavailable as error:
                log.error("cannot ask who holds what: error=%s", error)
                await asyncio.sleep(_STORE_AGAIN)
