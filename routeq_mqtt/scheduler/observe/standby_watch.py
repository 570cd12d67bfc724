"""Which standbys this leader has; clears the status of one that is gone without a Last Will."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from routeq_mqtt.presence.standbys import Standbys
from routeq_mqtt.presence.status import HEARTBEAT

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.transport.base import Message


class StandbyWatch:
    """Knows the standbys.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self.standbys: Standbys = Standbys(context.topics)
        self._context = context

    def heard(self, message: Message) -> bool:
        """Take a message in; whether it was for this."""
        now = self._context.clock.monotonic()
        return self.standbys.fold(message.topic, message.payload, now=now)

    async def run(self) -> None:
        """Clear the statuses of those that are silent: a broker that died sent no Last Will."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            self.clear_silent()

    def clear_silent(self) -> None:
        """One pass."""
        connection = self._context.link.connection
        if connection is not None:
            for topic in self.standbys.drop_silent(self._context.clock.monotonic()):
                connection.publish(topic, b"", retain=True)
