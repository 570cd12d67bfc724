"""Marks: messages of a session to itself. When one comes, all that lay in front of it is read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.transport.seam import Connection

_PREFIX = b"mark:"


class Marks:
    """Numbered, so that one of an earlier connection is not taken for the one that is awaited.

    Args:
        topic: of the session itself.

    Attributes:
        last: number of the last one that was sent.
        seen: highest number of those that came.
    """

    def __init__(self, topic: str) -> None:
        self.last = 0
        self.seen = 0
        self._topic = topic
        self._came: Callable[[], None] = lambda: None

    @staticmethod
    def is_one(payload: bytes) -> bool:
        """Whether a message to the session is a mark."""
        return payload.startswith(_PREFIX)

    def send(self, connection: Connection) -> asyncio.Future[int]:
        """Send the next one; its PUBACK."""
        self.last += 1
        return connection.publish(self._topic, b"%s%d" % (_PREFIX, self.last))

    def came(self, payload: bytes) -> None:
        """One has come."""
        self.seen = max(self.seen, int(payload[len(_PREFIX) :]))
        self._came()

    async def comes_back(self, connection: Connection, timeout: float) -> bool:
        """Send one; whether it came within `timeout` seconds."""
        seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.send(connection)
        wanted = self.last

        def look() -> None:
            if self.seen >= wanted and not seen.done():
                seen.set_result(None)

        self._came = look
        await asyncio.wait({seen}, timeout=timeout)
        return seen.done()
