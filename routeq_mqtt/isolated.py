"""Users' coroutines and tasks, kept from what is around them.

| what users' code does | here |
|---|---|
| it sets a context variable | its run has a context of its own, and the next one does not see it |
| it forks, and awaits in the child | the child ends there: it would be a second worker |
| a task of its own raises `SystemExit` | an error of that task, not the end of the event loop |
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, TypeVar

from routeq_mqtt.boundary import text_of
from routeq_mqtt.eager import EagerCoroutine
from routeq_mqtt.forks import generation, leave_a_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context

_T = TypeVar("_T")

_OURS = ("routeq_mqtt.", "routeq_broker.")


class _Wait:
    """A future of users' code as our task waits for it: done means go on, and nothing is thrown.

    A task throws what its future raises into its outermost coroutine. A `GeneratorExit` thrown
    there closes all coroutines on the way (PEP 380), ours too, and the slot with them. Users'
    coroutine asks its future itself for the result, so it raises there, and only there.
    """

    __slots__ = ("_asyncio_future_blocking", "_future", "_wake")

    def __init__(self, future: Any) -> None:  # noqa: ANN401 - anything that asyncio can wait for
        self._asyncio_future_blocking = True
        self._future = future
        future._asyncio_future_blocking = False  # noqa: SLF001 - as a task does

    def add_done_callback(
        self, wake: Callable[[object], object], *, context: Context | None = None
    ) -> None:
        """Wake the task that waits: it is the only one."""
        self._wake = wake
        self._future.add_done_callback(self._is_done, context=context)

    def _is_done(self, future: object) -> None:
        self._wake(self)

    def cancel(self, msg: object = None) -> bool:
        """Cancel the future: users' coroutine gets a `CancelledError` from it."""
        return bool(self._future.cancel(msg))

    def result(self) -> None:
        """Nothing: users' coroutine asks the future itself."""

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the future."""
        loop: asyncio.AbstractEventLoop = self._future.get_loop()
        return loop


def _waited(waits_for: Any) -> Any:  # noqa: ANN401 - whatever a coroutine yields
    return _Wait(waits_for) if asyncio.isfuture(waits_for) else waits_for


class IsolatedCoroutine(EagerCoroutine[_T]):
    """An `EagerCoroutine` in a copy of the present context, which never goes on in a fork.

    Args:
        coroutine: not begun yet.
        first: called in that context before the first step.
        context: to run in, where that is there already.

    Attributes:
        run_in: calls a function in that context; not while the coroutine runs.

    Raises:
        Exception: what the coroutine raised before it first waited.
    """

    __slots__ = ("_born", "run_in")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, _T],
        first: Callable[[], object] | None = None,
        *,
        context: Context | None = None,
    ) -> None:
        self.run_in: Final = (copy_context() if context is None else context).run
        self._coroutine = coroutine
        self._born = generation()
        self.over: bool = False
        if first is not None:
            self.run_in(first)
        try:
            self._waits_for = self.run_in(coroutine.send, None)
        except StopIteration as ended:
            self.value = ended.value
            self.over = True
        finally:
            leave_a_fork(self._born, 1)

    def __await__(self) -> Generator[Any, Any, _T]:
        if self.over:
            return self.value
        run, send, born = self.run_in, self._coroutine.send, self._born
        try:
            while True:
                leave_a_fork(born, 1)
                try:
                    sent = yield _waited(self._waits_for)
                except BaseException as error:  # noqa: BLE001 - a cancellation, passed on
                    self._waits_for = run(self._coroutine.throw, error)
                else:
                    self._waits_for = run(send, sent)
        except StopIteration as ended:
            value: _T = ended.value
            return value
        finally:
            leave_a_fork(born, 1)


def contain_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Contain the tasks that users' code starts in an event loop from now on.

    A `SystemExit` of a task goes through the event loop, and ends the process with its code.
    """
    loop.set_task_factory(_task)


def _task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, _T] | Generator[Any, None, _T],
    **more: Any,  # noqa: ANN401 - name, context
) -> asyncio.Task[_T]:
    if isinstance(coroutine, Coroutine) and not _is_ours(coroutine):
        coroutine = _Contained(coroutine)
    return asyncio.Task(coroutine, loop=loop, **more)


def _is_ours(coroutine: Coroutine[Any, Any, Any]) -> bool:
    frame = getattr(coroutine, "cr_frame", None)
    return frame is not None and str(frame.f_globals.get("__name__")).startswith(_OURS)


class _Contained(Coroutine[Any, Any, _T]):
    """A coroutine of the user's whose exit is an error, and which never goes on in a fork."""

    def __init__(self, coroutine: Coroutine[Any, Any, _T]) -> None:
        self._coroutine = coroutine
        self._born = generation()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - cr_frame and others, for debuggers
        return getattr(self._coroutine, name)

    def send(self, value: Any) -> Any:  # noqa: ANN401 - what a coroutine takes and gives
        return self._step(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401 - what a coroutine takes and gives
        return self._step(self._coroutine.throw, *error)

    def _step(self, step: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
        try:
            waits_for = step(*args)
        except (SystemExit, KeyboardInterrupt) as error:
            leave_a_fork(self._born, 1)
            name = getattr(self._coroutine, "__qualname__", "a task")
            raise RuntimeError(
                f"{name}() raised {type(error).__name__}({text_of(error)!r}) in a task of its own; "
                "a job ends by return, or by raise Fail(…)"
            ) from error
        except BaseException:
            leave_a_fork(self._born, 1)
            raise
        leave_a_fork(self._born, 1)
        return waits_for

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, _T]:
        return self._coroutine.__await__()
