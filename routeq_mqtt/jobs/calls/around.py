"""Code of a framework around jobs: what it opens for them is closed with them.

It is outside of all middleware, and around `failed()`, too. Most processes have none.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

T = TypeVar("T")

_runs: list[Callable[[], AbstractAsyncContextManager[object]]] = []
_calls: list[Callable[[], AbstractContextManager[object]]] = []


def around_runs(context: Callable[[], AbstractAsyncContextManager[object]]) -> None:
    """Enter a context in the event loop for each run of a job, and leave it afterwards."""
    if context not in _runs:
        _runs.append(context)


def around_plain_calls(context: Callable[[], AbstractContextManager[object]]) -> None:
    """Enter a context for each call of a plain function, in the thread that makes the call."""
    if context not in _calls:
        _calls.append(context)


def stands_around() -> bool:
    """Whether there is a context for each run."""
    return bool(_runs)


async def entered(stack: AsyncExitStack) -> None:
    """Enter the contexts of one run."""
    for context in _runs:
        await stack.enter_async_context(context())


def called(function: Callable[..., T], *arguments: object) -> T:
    """Call a plain function in its contexts; what it returns or raises."""
    if not _calls:
        return function(*arguments)
    with ExitStack() as stack:
        for context in _calls:
            stack.enter_context(context())
        return function(*arguments)
