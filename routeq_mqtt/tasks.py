"""The one place that starts tasks: none of them ends unseen.

| a task | is started by | its end |
|---|---|---|
| that lives as long as its owner (a loop) | `Tasks.keep` | an error line; it begins anew, soon |
| that ends by itself | `Tasks.start` | an error is an error line, and the owner may be called |
| that a block of code waits for | `Scope.start` | is the block's: none outlives it |
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

log: logging.Logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_FIRST_WAIT = 0.1
_LONGEST_WAIT = 10.0
_SOUND_AFTER = 60.0
"""Seconds of life after which an unexpected end counts as the first one again."""


class Tasks:
    """The background tasks of one owner, which closes them when it leaves."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        return iter(tuple(self._tasks))

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self,
        work: Coroutine[Any, Any, _T],
        name: str,
        *,
        expected: tuple[type[BaseException], ...] = (),
        failed: Callable[[BaseException], None] | None = None,
    ) -> asyncio.Task[_T]:
        """Run something that ends by itself.

        Args:
            work: what to run.
            name: for the log.
            expected: errors that are no news.
            failed: called with any other error, which is logged with its traceback first.
        """
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)

        def ended(task: asyncio.Task[_T]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is None or isinstance(error, expected):
                return
            log.error("task=%s ended by an error: %r", name, error, exc_info=error)
            if failed is not None:
                failed(error)

        task.add_done_callback(ended)
        return task

    def keep(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> asyncio.Task[None]:
        """Run something that has no end of its own, and begin it anew whenever it ends.

        The first time after 0.1 s, then after twice as long each time, 10 s at most. Only a
        cancellation ends it.

        Args:
            work: makes the coroutine, for each life anew.
            name: for the log.
        """
        return self.start(_lives(work, name), name)

    def cancel(self) -> None:
        """End all of them; does not wait."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """End all of them, and wait until they have ended."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _lives(work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    loop = asyncio.get_running_loop()
    wait = _FIRST_WAIT
    while True:
        began = loop.time()
        try:
            await work()
        except (asyncio.CancelledError, GeneratorExit, SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the task begins anew
            why: BaseException | None = error
        else:
            why = None
        wait = _FIRST_WAIT if loop.time() - began > _SOUND_AFTER else wait
        cause = "it returned" if why is None else _shown(why)
        log.error("task=%s ended, again in %.1f s: %s", name, wait, cause, exc_info=why)
        await asyncio.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)


def _shown(error: BaseException) -> str:
    """An exception in a line, whatever its own methods do."""
    try:
        return repr(error)
    except BaseException:  # noqa: BLE001 - a user's __repr__
        return type(error).__name__


def uncancel(task: asyncio.Task[Any]) -> None:
    """A task goes on: its cancellation was meant for what it ran."""
    while task.cancelling():
        task.uncancel()


class Scope:
    """Tasks of a block of code: ``async with Scope() as scope``. None outlives the block.

    The block awaits them and sees their errors; those that it does not await are cancelled at its
    end.
    """

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, work: Coroutine[Any, Any, _T], name: str) -> asyncio.Task[_T]:
        """Run something beside the block."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.append(task)
        return task

    async def __aenter__(self) -> Scope:
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
