"""Wakes the tasks that wait for a change."""

from __future__ import annotations

import asyncio


class Notifier:
    """Like a condition without a lock: `wait` returns at the next `notify`.

    Attributes:
        fired: how often; a task that checks its condition with an `await` in between reads it
            first.
    """

    __slots__ = ("_future", "fired")

    def __init__(self) -> None:
        self.fired: int = 0
        self._future: asyncio.Future[None] | None = None

    def notify(self) -> None:
        """Wake everybody who waits now."""
        self.fired += 1
        if self._future is not None:
            self._future.set_result(None)
            self._future = None

    async def wait(self, timeout: float | None = None, *, since: int | None = None) -> bool:
        """Wait for the next `notify`, `timeout` seconds at most; whether it came.

        Args:
            timeout: seconds; None: for ever.
            since: what `fired` was when the caller began to look; a later `notify` counts.
        """
        if since is not None and since != self.fired:
            return True
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait({self._future}, timeout=timeout)
        return bool(done)
