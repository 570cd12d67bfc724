"""How long one run may take, and what happens when its coroutine ignores that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.eager import EagerCoroutine

_T = TypeVar("_T")


class PausableTimeout:
    """Cancels a run after a number of seconds; those in which its process starts do not count.

    Args:
        seconds: None: there is no limit.
        grace: seconds that a cancelled run has to end; see `over`.

    Attributes:
        expired: the run was cancelled for taking too long.
        given_up: it ignored that, and has been reported as ended.
        in_thread: it waits for a thread, which cannot be cancelled: its slot waits, too.
    """

    # Most runs never wait: what they do not need stands in the class.
    expired: bool = False
    given_up: bool = False
    in_thread: bool = False
    _stopped = False
    _task: asyncio.Task[object] | None = None
    _timer: asyncio.TimerHandle | None = None
    _ignored: Callable[[], None] | None = None

    def __init__(self, seconds: float | None, *, grace: float = 10.0) -> None:
        self._left = seconds
        self._grace = grace

    async def over(self, run: EagerCoroutine[_T], ignored: Callable[[], None] | None = None) -> _T:
        """The rest of a run that waits for something; what it returns.

        Args:
            run: has begun in the present task.
            ignored: called when the run has not ended `grace` seconds after its cancellation.

        Raises:
            TimeoutError: it took too long; see `expired`.
        """
        task = self._task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a run is awaited in a task
        before = task.cancelling()
        self._ignored = ignored
        self._arm()
        try:
            return await run
        except asyncio.CancelledError as error:
            if self.expired and task.cancelling() <= before + 1:
                raise TimeoutError from error
            raise
        finally:
            self._disarm()
            if self.expired:
                task.uncancel()
            self._task = None

    def stop(self) -> None:
        """Time stands still."""
        self._stopped = True
        if self._timer is not None and not self.expired:
            when = self._timer.when()
            self._disarm()
            self._left = max(0.0, when - asyncio.get_running_loop().time())

    def call_next(self) -> None:
        """Time runs again."""
        self._stopped = False
        self._arm()

    def _arm(self) -> None:
        if self._task is None or self._left is None or self._stopped or self.expired:
            return
        self._timer = asyncio.get_running_loop().call_later(self._left, self._expire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self.expired = True
        if self._task is not None:
            self._task.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._grace, self._still_there)

    def _still_there(self) -> None:
        if self._ignored is not None and not self.in_thread and not self.given_up:
            self.given_up = True
            self._ignored()
