"""What a user's function is: looked at where it is handed over, not when it is called."""

from __future__ import annotations

import inspect


def is_async(function: object) -> bool:
    """Whether it is a coroutine function, or an object that is called like one."""
    if inspect.iscoroutinefunction(function):
        return True
    return inspect.iscoroutinefunction(getattr(type(function), "__call__", None))  # noqa: B004


def takes(function: object, arguments: int) -> bool:
    """Whether it accepts this many positional arguments; True also where that is unknown."""
    if not callable(function):
        return False
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a builtin, for one
        return True
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        return False
    return True
