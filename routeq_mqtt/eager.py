"""A coroutine that takes its first step at once, and an event that runs its waiter at once.

The event loop's own ways cost a turn of the loop each: a task starts in the next turn, and a future
wakes its waiter in the next turn. After a while of silence a turn takes a tenth of a millisecond.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import Context

_T = TypeVar("_T")


class EagerCoroutine(Generic[_T]):
    """A coroutine that has taken its first step, in the task that made this.

    One that never waits is over then, and needs no timer: see `over`. Else await this for the rest.

    Args:
        coroutine: not begun yet.

    Attributes:
        over: it has ended; `value` is what it returned.

    Raises:
        Exception: what the coroutine raised before it first waited.
    """

    __slots__ = ("_coroutine", "_waits_for", "over", "value")

    value: _T

    def __init__(self, coroutine: Coroutine[Any, Any, _T]) -> None:
        self._coroutine = coroutine
        self.over: bool = False
        try:
            self._waits_for = coroutine.send(None)
        except StopIteration as ended:
            self.value = ended.value
            self.over = True

    @classmethod
    def begun(cls, coroutine: Coroutine[Any, Any, _T], waits_for: object) -> EagerCoroutine[_T]:
        """One whose first step was taken elsewhere, and that waits for something now."""
        made = object.__new__(cls)
        made._coroutine, made._waits_for, made.over = coroutine, waits_for, False
        return made

    def __await__(self) -> Generator[Any, Any, _T]:
        if self.over:
            return self.value
        try:
            while True:
                try:
                    sent = yield self._waits_for
                except BaseException as error:  # noqa: BLE001 - a cancellation, passed on
                    self._waits_for = self._coroutine.throw(error)
                else:
                    self._waits_for = self._coroutine.send(sent)
        except StopIteration as ended:
            value: _T = ended.value
            return value


class InlineFuture:
    """What one task waits for; `now` runs that task before it returns.

    It is what a task may wait for beside a future: see `asyncio.isfuture`.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_done", "_loop", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._wake: Callable[[object], object] | None = None
        self._context: Context | None = None
        self._done = self._cancelled = False

    def now(self) -> None:
        """Run the waiting task, up to where it waits again; inside of another task: soon."""
        if asyncio.current_task(self._loop) is not None:
            self.soon()
        elif not self._done:
            self._done = True
            if self._wake is not None and self._context is not None:
                self._context.run(self._wake, self)

    def soon(self) -> None:
        """Run the waiting task in the next turn of the event loop."""
        if not self._done:
            self._done = True
            if self._wake is not None:
                self._loop.call_soon(self._wake, self, context=self._context)

    def __await__(self) -> Generator[InlineFuture, None, None]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        self.result()

    # -- what a task asks of what it waits for -------------------------------------------------

    def add_done_callback(
        self, wake: Callable[[object], object], *, context: Context | None = None
    ) -> None:
        """The task that waits: it is the only one."""
        self._wake, self._context = wake, context

    def done(self) -> bool:
        """Whether the task was woken, or is to end."""
        return self._done

    def cancel(self, msg: object = None) -> bool:
        """The task that waits is to end."""
        if self._done:
            return False
        self._cancelled = True
        self.soon()
        return True

    def result(self) -> None:
        """Nothing.

        Raises:
            asyncio.CancelledError: the task is to end.
        """
        if self._cancelled:
            raise asyncio.CancelledError

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the waiting task."""
        return self._loop
