"""A network connection in memory: two pipes that keep order, and can be cut."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import contextvars

    from routeq_mqtt.testing.memory.packets import Packet

Delay = Callable[[], float]


def no_delay() -> float:
    """Seconds on the way: the next turn of the loop."""
    return 0.0


class Pipe:
    """One direction: what is sent arrives in order, later than it was sent.

    Args:
        delay: seconds on the way, asked for each burst.
    """

    def __init__(self, delay: Delay) -> None:
        self._delay = delay
        self._packets: deque[Packet] = deque()
        self._receive: Callable[[Packet], None] | None = None
        self._context: contextvars.Context | None = None
        self._timer: asyncio.Handle | None = None
        self._held = False
        self._arriving = False

    def connect(self, receive: Callable[[Packet], None], context: contextvars.Context) -> None:
        """Who receives, and in which context: sender and receiver are different programs."""
        self._receive = receive
        self._context = context

    def __len__(self) -> int:
        return len(self._packets)

    def send(self, packet: Packet) -> None:
        """Put a packet on its way."""
        self._packets.append(packet)
        self._soon()

    def hold(self) -> None:
        """The receiver does not read."""
        self._held = True

    def let_go(self) -> None:
        """It reads again."""
        self._held = False
        self._soon()

    def cut(self, arrive: int = 0) -> None:
        """Nothing arrives any more but the next `arrive` packets, at once."""
        kept = [self._packets.popleft() for _ in range(min(arrive, len(self._packets)))]
        self._packets.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        receive, self._receive = self._receive, None
        if receive is None or self._held or self._context is None:
            return
        for packet in kept:
            self._context.copy().run(receive, packet)

    def _soon(self) -> None:
        if self._timer is not None or self._held or not self._packets or self._receive is None:
            return
        loop, delay = asyncio.get_running_loop(), self._delay()
        if delay > 0:
            self._timer = loop.call_later(delay, self._arrive, context=self._context)
        else:
            self._timer = loop.call_soon(self._arrive, context=self._context)

    def _arrive(self) -> None:
        self._timer = None
        if self._arriving:
            return
        self._arriving = True
        try:
            for _ in range(len(self._packets)):
                if self._held or self._receive is None or not self._packets:
                    break
                self._receive(self._packets.popleft())
        finally:
            self._arriving = False
            self._soon()


class Wire:
    """A connection between one client and the broker.

    Args:
        delay: seconds that packets are on their way.
        cut_client: tells the client that the connection is gone.
        context: the client's.
    """

    def __init__(
        self,
        delay: Delay,
        cut_client: Callable[[BaseException], None],
        context: contextvars.Context,
    ) -> None:
        self.up: Pipe = Pipe(delay)
        self.down: Pipe = Pipe(delay)
        self.client_id = ""
        self.context = context
        self._cut_client = cut_client

    def break_client(self, cause: BaseException, arrive: int = 0) -> None:
        """The client finds the connection broken; of what was under way some may arrive."""
        self.up.cut()
        self.down.cut(arrive)
        self.context.copy().run(self._cut_client, cause)
