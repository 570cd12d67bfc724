"""How long one run may take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from routeq_mqtt.begun import Begun

_T = TypeVar("_T")


class TimeLimit:
    """Cancels a run after so many seconds; those in which its process starts do not count.

    Args:
        seconds: None: there is no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._left = seconds
        self._stopped = False
        self._scope: asyncio.Timeout | None = None

    async def over(self, run: Begun[_T]) -> _T:
        """The rest of a run that waits for something; what it returns.

        Raises:
            TimeoutError: it took too long; see `expired`.
        """
        async with asyncio.timeout(None if self._stopped else self._left) as self._scope:
            return await run

    @property
    def expired(self) -> bool:
        """Whether the run was cancelled for taking too long."""
        return self._scope is not None and self._scope.expired()

    def stop(self) -> None:
        """Time stands still."""
        self._stopped = True
        if self._scope is None or self.expired:
            return
        when = self._scope.when()
        if when is not None:
            self._left = max(0.0, when - asyncio.get_running_loop().time())
            self._scope.reschedule(None)

    def go_on(self) -> None:
        """Time runs again."""
        self._stopped = False
        if self._scope is not None and self._left is not None and not self.expired:
            self._scope.reschedule(asyncio.get_running_loop().time() + self._left)
