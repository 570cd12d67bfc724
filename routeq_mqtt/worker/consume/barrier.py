"""Marks: messages of a session to itself. When one comes, all that lay in front of it is read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from routeq_mqtt.wire.marks import encode_mark

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.transport.base import Connection


class Barrier:
    """Numbered, so that one of an earlier connection is not taken for the one that is awaited.

    Args:
        topic: of the session itself.

    Attributes:
        last: number of the last one that was sent.
        seen: highest number of those that came.
    """

    def __init__(self, topic: str) -> None:
        self.last: int = 0
        self.seen: int = 0
        self._topic = topic
        self._before = 0
        self._came: Callable[[], None] = lambda: None

    def reconnected(self) -> None:
        """The connection is new: a mark of an earlier one tells nothing of it."""
        self._before = self.last

    def send(self, connection: Connection) -> asyncio.Future[int]:
        """Send the next one; its PUBACK."""
        self.last += 1
        return connection.publish(self._topic, encode_mark(self.last))

    def came(self, number: int) -> bool:
        """One has come; whether it was sent on this connection, behind all that it brings again."""
        self.seen = max(self.seen, number)
        self._came()
        return number > self._before

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
