"""An event loop whose time jumps to the next event, and processes in it that can be killed."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine, Generator
from typing import Any

Callback = Callable[..., object]

_MOST_TURNS = 20_000
"""Turns of the loop without time passing: more than any honest work takes here."""


class Stuck(Exception):
    """Nothing will ever happen again: everybody waits for somebody else."""


class Busy(Exception):
    """Somebody does something over and over without ever waiting."""


class Process:
    """What one program does on the loop: callbacks whose context says that they are its own.

    Killed, not one of its callbacks runs any more: it ends between two awaits, and no `finally`
    tidies up. Stopped, they wait until it goes on.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.steps = 0
        self.fatal_step: int | None = None
        self.on_fatal: Callable[[], None] = lambda: None
        self._stopped: list[tuple[contextvars.Context, Callback, tuple[Any, ...]]] | None = None

    def step(self, callback: Callback, args: tuple[Any, ...]) -> None:
        """Run one callback, unless dead or stopped."""
        if self.dead:
            return
        if self._stopped is not None:
            self._stopped.append((contextvars.copy_context(), callback, args))
            return
        self.steps += 1
        if self.steps == self.fatal_step:
            self.on_fatal()
            return
        callback(*args)

    def stop(self) -> None:
        """SIGSTOP."""
        if self._stopped is None:
            self._stopped = []

    def call_next(self, loop: asyncio.AbstractEventLoop) -> None:
        """SIGCONT."""
        waiting, self._stopped = self._stopped or [], None
        for context, callback, args in waiting:
            loop.call_soon(callback, *args, context=context)


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class _Jump(selectors.SelectSelector):
    """There is no outside to wait for: time passes at once."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing will ever happen again")
        self.loop.pass_time(timeout)
        return []


class _Numbered:
    """Hashes by age, so that a set of these is walked in the same order in every run."""

    number: int

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class _Future(_Numbered, asyncio.Future[Any]):
    pass


class _Task(_Numbered, asyncio.Task[Any]):
    def __init__(self, *args: Any, number: int, **kwargs: Any) -> None:
        self.number = number
        super().__init__(*args, **kwargs)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next event."""

    def __init__(self) -> None:
        self.now = 0.0
        self._turns = 0
        # Kept: a coroutine that is thrown away runs its `finally`, and the dead tidy nothing up.
        self.tasks: list[asyncio.Task[Any]] = []
        self._numbers = iter(range(1, 1 << 62))
        jump = _Jump()
        jump.loop = self
        super().__init__(jump)
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self.now

    def pass_time(self, seconds: float) -> None:
        """The next event is so far away."""
        self.now += seconds
        self._turns = 0 if seconds > 0 else self._turns + 1
        if self._turns > _MOST_TURNS:
            raise Busy(f"{_MOST_TURNS} turns of the loop at one instant")

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        future.number = next(self._numbers)
        return future

    @staticmethod
    def _make_task(
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **kwargs: Any,
    ) -> asyncio.Task[Any]:
        assert isinstance(loop, VirtualLoop)
        task = _Task(coro, loop=loop, number=next(loop._numbers), **kwargs)
        loop.tasks.append(task)
        return task

    def call_soon(  # type: ignore[override]
        self, callback: Callback, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = context or contextvars.copy_context()
        process = context.get(PROCESS)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        return super().call_soon(process.step, callback, args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callback,
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        context = context or contextvars.copy_context()
        process = context.get(PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        return super().call_at(when, process.step, callback, args, context=context)
