"""How many jobs a session may hold at once, as the embedded broker is told.

See `routeq_mqtt.worker.consume.sharing`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.transport.base import Connection


class Window:
    """The number of jobs that a session may hold at once, as reported to the embedded broker.

    Args:
        topic: where the broker is told.
        size: jobs held at most before reading stops; what is allowed at the start.

    Attributes:
        allowed: jobs that the broker gives us at most.
    """

    def __init__(self, topic: str, size: int) -> None:
        self.size = size
        self.allowed: int = size
        self._topic = topic
        self._told: asyncio.Future[int] | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether we are allowed less than we could hold."""
        return self.allowed < self.size

    def tell(self, connection: Connection) -> asyncio.Future[int]:
        """Tell the broker, on a new connection or after a change; its PUBACK."""
        return connection.publish(self._topic, str(self.allowed).encode())

    def allow(self, connection: Connection, jobs: int) -> None:
        """Set what is allowed."""
        if jobs != self.allowed:
            self.allowed = jobs
            self._told = self.tell(connection)

    async def settled(self) -> None:
        """Wait for the answer to the last change: it comes behind what the change let in."""
        if self._told is not None:
            await asyncio.wait({self._told})
