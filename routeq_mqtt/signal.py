"""Wakes whoever waits for news; keeps no memory of it."""

from __future__ import annotations

import asyncio


class Signal:
    """Like a condition without a lock: `wait` returns at the next `fire`."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    def fire(self) -> None:
        """Wake everybody who waits now."""
        if self._future is not None:
            self._future.set_result(None)
            self._future = None

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait for the next `fire`, `timeout` seconds at most; whether it came."""
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait({self._future}, timeout=timeout)
        return bool(done)
