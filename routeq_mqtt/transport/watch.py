"""Watches a connection that owes us an answer: a black hole is found within seconds.

A NAT or firewall drops a connection silently. The keep-alive finds out in one to two of
its intervals, a minute by default; a dispatch waits 10 seconds. So a PUBLISH without PUBACK for 3
seconds is followed by a PINGREQ, and 3 more seconds of silence end the connection: there is time
left to send it again on the next one.

A SUBSCRIBE may take a broker longer, and it reads nothing meanwhile: NATS makes something of each
filter on most nodes of its cluster, and waits for them to elect a leader when one has died. Who
hangs up on it then, and asks again, makes it begin anew.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from typing import Protocol

from routeq_mqtt.imports import first_import

ANSWER_WITHIN = 3.0
"""Seconds until a missing PUBACK is asked for, and then until the connection counts as dead."""

SUBSCRIBED_WITHIN = 10.0
"""The same for a missing SUBACK."""

_TIOCOUTQ = 0x5411
"""Linux, tcp(7): bytes that the other side has not acknowledged to the kernel."""


class Watched(Protocol):
    """A connection."""

    def waits(self) -> bool:
        """Whether an answer is to come, and would be read."""
        ...

    def subscribes(self) -> bool:
        """Whether one of the answers is a SUBACK."""
        ...

    def heard_at(self) -> float:
        """When something was last read (`time.monotonic`)."""
        ...

    def unsent(self) -> int:
        """Bytes that have yet to reach the broker, as far as that is known."""
        ...

    def ping(self) -> None:
        """Ask for a sign of life."""
        ...

    def is_dead(self) -> None:
        """None came."""
        ...


class Watch:
    """Ends a connection that leaves a PUBLISH unanswered.

    Costs one timer for as long as answers are missing.

    Args:
        watched: the connection.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._asked = False
        self._unsent = 0

    def begin(self) -> None:
        """An answer is awaited from now on."""
        if self._timer is None:
            self._since = time.monotonic()
            self._asked = False
            self._unsent = 0
            self._timer = asyncio.get_running_loop().call_later(ANSWER_WITHIN, self._look)

    def end(self) -> None:
        """The connection is over."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        watched = self._watched
        if not watched.waits():
            return  # the next PUBLISH begins anew
        now, unsent = time.monotonic(), watched.unsent()
        is_moving = 0 < unsent < self._unsent  # a slow line is no dead one
        self._unsent = unsent
        if is_moving or watched.heard_at() > self._since:
            self._since = now if is_moving else watched.heard_at()
            self._asked = False
        within = SUBSCRIBED_WITHIN if watched.subscribes() else ANSWER_WITHIN
        wait = self._since + within - now
        if wait <= 0:
            if self._asked:
                watched.is_dead()
                return
            self._asked = True
            self._since = now
            watched.ping()
            wait = within
        self._timer = asyncio.get_running_loop().call_later(wait, self._look)


def bytes_on_the_way(fileno: int) -> int:
    """Bytes in a socket's send buffer and on the line; 0 where no kernel says so."""
    if sys.platform != "linux":
        return 0
    with first_import():  # not on Windows
        import fcntl

    try:
        found: int = struct.unpack("i", fcntl.ioctl(fileno, _TIOCOUTQ, b"\0" * 4))[0]
    except OSError:
        return 0
    return found
