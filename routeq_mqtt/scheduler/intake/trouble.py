"""A scheduler that cannot commit says so once, where people look: its log and its status."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.lifecycle.presence import Presence
    from routeq_mqtt.scheduler.store.rows import StoreUnavailable

log: logging.Logger = logging.getLogger(__name__)

_AGAIN_EVERY = 60.0
"""Seconds between two lines of one trouble."""


class Trouble:
    """What keeps the scheduler from its database.

    Args:
        context: the clock and the connection.
        presence: tells the bus.
    """

    def __init__(self, context: Context, presence: Presence) -> None:
        self._context = context
        self._presence = presence
        self._since: float | None = None
        self._said_at = 0.0
        self._what = ""

    def refused(self, error: StoreUnavailable, waiting: int) -> None:
        """A commit failed while this many messages wait for it."""
        now, what = self._context.clock.monotonic(), str(error)
        if self._since is None:
            self._since = now
        elif what == self._what and now - self._said_at < _AGAIN_EVERY:
            return
        log.error("cannot commit, jobs wait at the broker waiting=%d error=%s", waiting, what)
        self._said_at = now
        if what != self._what:
            self._what = what
            short = "disk full" if "disk is full" in what else what
            self._presence.say_trouble(self._context.link.connection, f"cannot commit: {short}")

    def over(self) -> None:
        """A commit succeeded."""
        if self._since is None:
            return
        seconds = self._context.clock.monotonic() - self._since
        log.warning("commits again after %.0f s", seconds)
        self._since, self._what = None, ""
        self._presence.say_trouble(self._context.link.connection, "")
