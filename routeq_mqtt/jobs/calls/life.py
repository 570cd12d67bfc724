"""The life of a worker: functions at its start and end, its state, and what lives as long as it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import AsyncExitStack
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from routeq_mqtt.boundary import described, is_a, one_line
from routeq_mqtt.errors import ConfigurationError, TaskEnded
from routeq_mqtt.jobs.signatures import takes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

log: logging.Logger = logging.getLogger(__name__)

F = TypeVar("F", bound="Callable[[WorkerState], Any]")


class WorkerState(SimpleNamespace):
    """What the functions of `on_startup` set up for the jobs of one worker: ``state.pool = …``."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the state of this worker has no {name!r}; set it in a function with @on_startup"
        )


_startup: list[Callable[[WorkerState], Any]] = []
_shutdown: list[Callable[[WorkerState], Any]] = []

_life: ContextVar[worker_life] = ContextVar("routeq_worker_life")


def on_startup(function: F) -> F:
    """Call a function of the `WorkerState` before a worker takes jobs (a decorator).

    Coroutine functions are awaited. They run in the order of their definition. One that raises
    keeps the worker from starting.

    Raises:
        ConfigurationError: it is not a function of one argument.
    """
    return _add("on_startup", _startup, function)


def on_shutdown(function: F) -> F:
    """Call a function of the `WorkerState` when a worker has ended its last job (a decorator).

    The last one that was defined runs first. What one raises is logged, and the others run.

    Raises:
        ConfigurationError: it is not a function of one argument.
    """
    return _add("on_shutdown", _shutdown, function)


def _add(where: str, functions: list[Callable[[WorkerState], Any]], function: F) -> F:
    if not takes(function, 1):
        raise ConfigurationError(f"{where}: {function!r} must be a function of the worker's state")
    if function not in functions:
        functions.append(function)
    return function


def remove_life_hook(function: Callable[[WorkerState], Any]) -> None:
    """Call a function at no start and no end any more; one that is not there changes nothing."""
    for functions in (_startup, _shutdown):
        if function in functions:
            functions.remove(function)


def worker_state() -> WorkerState:
    """The state of the worker that runs this job.

    Raises:
        ConfigurationError: no worker runs here: it is called outside of a job, or in a process of
            ``executor="process"``, which has no start of its own.
    """
    life = _life.get(None)
    if life is None:
        raise ConfigurationError(
            "worker_state: no worker runs here; in tests: async with worker_life() as state"
        )
    return life.state


def current_life() -> worker_life | None:
    """The life of the worker that runs this code; None: there is none."""
    return _life.get(None)


class worker_life:  # noqa: N801 - used as a function
    """One life of a worker: ``async with`` runs the functions at its start and at its end.

    Attributes:
        state: of the worker.
        made: what was injected for the whole life, by its function.
        stack: closes it.
        lock: one thing is made at a time.
    """

    def __init__(self) -> None:
        self.state: WorkerState = WorkerState()
        self.made: dict[Any, Any] = {}
        self.stack: AsyncExitStack[bool | None] = AsyncExitStack()
        self.lock: asyncio.Lock = asyncio.Lock()

    async def __aenter__(self) -> WorkerState:
        self._token = _life.set(self)
        for function in tuple(_startup):
            try:
                await _call(function, self.state)
            except BaseException as error:
                await self._end()
                if _is_our_end(error):
                    raise
                name = getattr(function, "__qualname__", type(function).__name__)
                said = described(error).line
                raise TaskEnded(f"the worker did not start: {name} raised {said}") from error
        return self.state

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        await _logged("a dependency of the worker", self.stack.aclose())
        for function in reversed(tuple(_shutdown)):
            name = getattr(function, "__qualname__", type(function).__name__)
            await _logged(f"on_shutdown {name}", _call(function, self.state))
        _life.reset(self._token)


async def _call(function: Callable[[WorkerState], Any], state: WorkerState) -> None:
    value = function(state)
    if inspect.isawaitable(value):
        await value


def _is_our_end(error: BaseException) -> bool:
    """Whether it is the end of the task that runs the function, and not the function's own."""
    task = asyncio.current_task()
    if is_a(error, asyncio.CancelledError):
        return task is not None and task.cancelling() > 0
    return is_a(error, KeyboardInterrupt)


async def _logged(what: str, work: Awaitable[None]) -> None:
    try:
        await work
    except BaseException as error:
        if _is_our_end(error):
            raise
        raised = described(error)
        log.error("%s raised error=%s\n%s", what, one_line(raised.line), raised.for_log)
