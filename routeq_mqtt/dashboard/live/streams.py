"""Server-sent events: few for each browser, so that the page itself is never blocked by them.

A browser opens six connections to one HTTP/1.1 server. Each tab wants a stream, so a browser that
has more than its share polls with its oldest tab.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.dashboard.live.state import Facts, as_message, difference
from routeq_mqtt.notifier import Notifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.dashboard.live.state import State

FOR_EACH_BROWSER = 3
IN_ALL = 200
"""Streams at once; who comes then polls."""

_EVERY = 1.0
"""Seconds between two looks."""

_SIGN_OF_LIFE = 5.0
"""Seconds after which a message is sent although nothing has changed."""

POLL = "event: poll\ndata: {}\n\n"
"""Says: ask for the state now and then, and do not connect again."""


class _Stream:
    """One open stream."""

    def __init__(self) -> None:
        self.ended = Notifier()
        self.is_over = False
        self.last_words = ""

    def end(self, last_words: str = "") -> None:
        self.is_over, self.last_words = True, last_words
        self.ended.notify()


class Streams:
    """The open streams.

    Args:
        state: what they tell.
        clock: of the times that they tell.
        longest: seconds after which one ends; the page then opens the next.
    """

    def __init__(self, state: State, clock: Clock, *, longest: float) -> None:
        self._state = state
        self._clock = clock
        self._longest = longest
        self._open: dict[str, list[_Stream]] = {}
        self.is_closed: bool = False

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def close(self) -> None:
        """End all streams now, and each new one at once: the server stops."""
        self.is_closed = True
        for streams in self._open.values():
            for stream in streams:
                stream.end()

    async def follow(self, browser: str) -> AsyncIterator[str]:
        """The events of one stream, until it is ended.

        Args:
            browser: whose connections are counted together.
        """
        if self.is_closed or len(self) >= IN_ALL:
            yield POLL
            return
        stream = _Stream()
        streams = self._open.setdefault(browser, [])
        streams.append(stream)
        running = [one for one in streams if not one.is_over]
        if len(running) > FOR_EACH_BROWSER:
            running[0].end(POLL)
        try:
            yield "retry: 1000\n\n"
            async for event in self._events(stream):
                yield event
            if stream.last_words:
                yield stream.last_words
        finally:
            streams.remove(stream)
            if not streams:
                self._open.pop(browser, None)

    async def _events(self, stream: _Stream) -> AsyncIterator[str]:
        before: Facts = {}
        ends_at = self._clock.monotonic() + self._longest
        said_at = float("-inf")
        while not stream.is_over and (now_at := self._clock.monotonic()) < ends_at:
            seen = stream.ended.fired
            facts = await self._state.now()
            changed, gone = difference(before, facts)
            if changed or gone or now_at - said_at >= _SIGN_OF_LIFE:
                first = "event: all\n" if not before else ""
                before, said_at = facts, now_at
                yield f"{first}data: {as_message(self._clock.now(), changed, gone)}\n\n"
            await stream.ended.wait(_EVERY, since=seen)
