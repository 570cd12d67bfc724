"""Sends again when the connection ends first, until that itself is the broker's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from routeq_mqtt.errors import ConnectionLost, PublishRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

STRIKES = 5
"""Connections that may end in a row, each at the same message, before we say that it is refused."""


class Insistence:
    """Counts the connections that ended at one message.

    On MQTT 3.1.1 a broker has no other way to refuse a message than to end the connection
    (MQTT 3.1.1, 3.3.5); sent again for ever, it would be a timeout that tells nobody why.

    Args:
        what: is sent, for the error.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._strikes = 0

    def struck(self) -> None:
        """The connection ended before the answer came.

        Raises:
            PublishRefused: it did so each of the last times.
        """
        self._strikes += 1
        if self._strikes >= STRIKES:
            raise PublishRefused(
                f"the broker ended the connection each of the {STRIKES} times that {self._what} "
                "was sent; on MQTT 3.1.1 that is how it refuses a message: check its access "
                "control and limits"
            )

    def answered(self) -> None:
        """Something got through."""
        self._strikes = 0


async def insist(send: Callable[[], Awaitable[T]], what: str) -> T:
    """Await `send` until the connection holds long enough for its answer.

    Args:
        send: sends, waiting for a connection first.
        what: it sends, for the error.

    Raises:
        PublishRefused: see `Insistence`; or `send` says so.
    """
    insistence = Insistence(what)
    while True:
        try:
            return await send()
        except ConnectionLost:
            insistence.struck()
