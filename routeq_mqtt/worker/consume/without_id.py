"""Messages without an id that have ended here, while their PUBACK may not have reached the broker.

Nothing but the packet id tells one of them from the next like it, and the broker uses packet ids
again. What it acknowledges behind our PUBACK says that this has arrived; then, and with a new
session, and when the broker sends something new, the message cannot come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.transport.base import Connection
    from routeq_mqtt.worker.delivery import Key

Ask = Callable[["Connection"], "asyncio.Future[int]"]


class Unnamed:
    """Remembers messages without an id that have ended here and may still come again.

    Args:
        ask: publishes something on a connection that the broker acknowledges.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._sent: dict[Key, Connection] = {}
        self._asking = False

    def __contains__(self, key: Key) -> bool:
        return key in self._sent

    def acknowledged(self, key: Key, connection: Connection) -> None:
        """The PUBACK of a message is sent."""
        self._sent[key] = connection
        if not self._asking:
            self._asking = True
            # Not at once: what ends in the same turn is asked for with it.
            asyncio.get_running_loop().call_soon(self._ask_now, connection)

    def only_from(self, connection: Connection | None) -> None:
        """What was acknowledged on an earlier connection than this one cannot come again."""
        if self._sent:
            self._sent = {key: on for key, on in self._sent.items() if on is connection}

    def _ask_now(self, connection: Connection) -> None:
        asked = [key for key, on in self._sent.items() if on is connection]

        def answered(answer: asyncio.Future[int]) -> None:
            self._asking = False
            if not answer.cancelled() and answer.exception() is None:
                self._arrived(asked, connection)

        self._ask(connection).add_done_callback(answered)

    def _arrived(self, keys: list[Key], connection: Connection) -> None:
        for key in keys:
            if self._sent.get(key) is connection:
                del self._sent[key]
        for key, on in self._sent.items():
            if not on.lost.done():
                self.acknowledged(key, on)
                return
