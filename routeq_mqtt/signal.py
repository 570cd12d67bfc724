"""Wakes whoever waits for news."""

from __future__ import annotations

import asyncio


class Signal:
    """Like a condition without a lock: `wait` returns at the next `fire`.

    Attributes:
        fired: how often; whoever looks at the world with an `await` in between notes it before.
    """

    __slots__ = ("_future", "fired")

    def __init__(self) -> None:
        self.fired = 0
        self._future: asyncio.Future[None] | None = None

    def fire(self) -> None:
        """Wake everybody who waits now."""
        self.fired += 1
        if self._future is not None:
            self._future.set_result(None)
            self._future = None

    async def wait(self, timeout: float | None = None, *, since: int | None = None) -> bool:
        """Wait for the next `fire`, `timeout` seconds at most; whether it came.

        Args:
            timeout: seconds; None: for ever.
            since: what `fired` was when the caller began to look; a later `fire` counts.
        """
        if since is not None and since != self.fired:
            return True
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait({self._future}, timeout=timeout)
        return bool(done)
