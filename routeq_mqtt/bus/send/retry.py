"""Sends again when the connection ends first, until that itself is the broker's answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from routeq_mqtt.errors import ConnectionLost, PublishRefused
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.transport.backoff import backoff_delay
from routeq_mqtt.transport.base import PACKET_TOO_LARGE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

STRIKES = 5
"""Connections that may end in a row, each at the same message, before we say that it is refused."""

_SUSPECT = 2
"""Connections that end at a message beside others, before it is sent alone."""

_ALONE = 3
"""Connections that end at it then, before we say that it is refused."""

_MOST_LOST = 20
"""The same, though the connection could not be shown to hold without it."""

_REFUSED = 5
_LONGEST_WAIT = 5.0


class ReconnectLimit:
    """Counts the connections that ended at one message.

    On MQTT 3.1.1 a broker has no other way to refuse a message than to end the connection
    (MQTT 3.1.1, 3.3.5); sent again for ever, it would be a timeout without a reason.

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
            raise _ended_at(self._what, STRIKES)

    def answered(self) -> None:
        """Something got through."""
        self._strikes = 0


async def retry_across_reconnects(send: Callable[[], Awaitable[T]], what: str) -> T:
    """Await `send` until the connection holds long enough for its answer.

    Args:
        send: sends, waiting for a connection first.
        what: it sends, for the error.

    Raises:
        PublishRefused: see `ReconnectLimit`; or `send` says so.
    """
    insistence = ReconnectLimit(what)
    while True:
        try:
            return await send()
        except ConnectionLost:
            insistence.struck()


class HandOver:
    """Hands messages over that share a connection, and finds out which one the broker refuses.

    A message that is too large for a broker that does not say so (MQTT 3.1.1 has no way to) ends
    the connection, for all others that are under way as well. So one at which the connection
    ended twice is sent alone, behind a small one that shows that the connection holds; ended
    there three times, it is refused. From then on one of that size is not sent at all.

    Args:
        prove: sends a small message and returns with its PUBACK.
    """

    def __init__(self, prove: Callable[[], Awaitable[None]]) -> None:
        self._prove = prove
        self._alone = asyncio.Lock()
        self._beside = 0
        self._quiet = Notifier()
        self._largest_taken = 0
        self._too_large: float = float("inf")

    async def until_taken(
        self, send: Callable[[], Awaitable[None]], size: int, what: str, *, refusals: int = _REFUSED
    ) -> None:
        """Await `send` until its message is taken, over lost connections and passing refusals.

        Args:
            send: sends, waiting for a connection first.
            size: bytes of its payload.
            what: it sends, for the error.
            refusals: how often the broker may refuse it; default 5, within some 20 seconds.

        Raises:
            PublishRefused: the broker refuses it for good: it is too large, was refused that often,
                or ends the connection.
        """
        lost = refused = struck = 0
        while True:
            if size >= self._too_large:
                raise _too_large(what, size)
            try:
                if lost < _SUSPECT:
                    await self._send_beside(send)
                else:
                    async with self._alone:
                        await self._until_quiet()
                        await self._prove()
                        struck += 1
                        await send()
            except ConnectionLost:
                lost += 1
                if struck >= _ALONE or lost >= _MOST_LOST:
                    if size > self._largest_taken:
                        self._too_large = size
                    raise _ended_at(what, lost) from None
            except PublishRefused as error:
                refused += 1
                if error.reason == PACKET_TOO_LARGE or refused >= refusals:
                    raise
                await asyncio.sleep(backoff_delay(refused + _REFUSED, max_wait=_LONGEST_WAIT))
            else:
                self._largest_taken = max(self._largest_taken, size)
                return

    async def _send_beside(self, send: Callable[[], Awaitable[None]]) -> None:
        if self._alone.locked():
            async with self._alone:
                pass
        self._beside += 1
        try:
            await send()
        finally:
            self._beside -= 1
            if not self._beside:
                self._quiet.notify()

    async def _until_quiet(self) -> None:
        while self._beside:
            await self._quiet.wait()


def _ended_at(what: str, times: int) -> PublishRefused:
    return PublishRefused(
        f"the broker ended the connection each of the {times} times that {what} was sent; on MQTT "
        "3.1.1 that is how it refuses a message: check its access control and limits"
    )


def _too_large(what: str, size: int) -> PublishRefused:
    return PublishRefused(
        f"{what} of {size} bytes is larger than the broker takes: one of that size ended the "
        "connection again and again; raise its limit (mosquitto: max_packet_size)",
        PACKET_TOO_LARGE,
    )
