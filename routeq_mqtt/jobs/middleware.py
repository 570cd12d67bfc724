"""Middleware: code around `handle`, of one class or of all jobs of a process."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.signatures import is_async, takes

if TYPE_CHECKING:
    from routeq_mqtt.jobs.job import Job

Handler = Callable[["Job"], Awaitable[Any]]
"""Goes on to the next middleware, and at last to `handle`; returns what that returned."""

Middleware = Callable[["Job", Handler], Awaitable[Any]]
"""``async def middleware(job, go_on): …; return await go_on(job)``."""

_M = TypeVar("_M", bound=Middleware)

_global: list[Middleware] = []


def middleware(function: _M) -> _M:
    """Wrap `handle` of every job that this process runs in the decorated coroutine function.

    The first one added is outermost; all of them are outside the middleware of a class. The job's
    timeout includes them, and an exception that they raise counts as raised by `handle`. If one
    does not await the next, the job counts as done without having run.

    Raises:
        ConfigurationError: it is not a coroutine function of a job and a handler.
    """
    check_middleware("middleware", function)
    if function not in _global:
        _global.append(function)
    return function


def remove_middleware(function: Middleware) -> None:
    """Take a middleware of all jobs away again; one that is not there changes nothing."""
    if function in _global:
        _global.remove(function)


def around(job_class: type[Job]) -> tuple[Middleware, ...]:
    """What stands around `handle` of a class, outermost first; empty for most."""
    own = job_class.middleware
    return (*_global, *own) if own or _global else ()


def wrapped(chain: tuple[Middleware, ...], innermost: Handler) -> Handler:
    """A handler that goes through a chain to the innermost one."""
    return reduce(_inside, reversed(chain), innermost)


def _inside(inner: Handler, outer: Middleware) -> Handler:
    async def call(job: Job) -> Any:  # noqa: ANN401 - what handle returned
        value = await outer(job, inner)
        if inspect.iscoroutine(value):
            # The job would count as done, and nothing of it has run.
            value.close()
            raise ConfigurationError(
                f"middleware {outer!r} returned go_on(job) without waiting for it; "
                "write: return await go_on(job)"
            )
        return value

    return call


def check_all(where: str, functions: object) -> None:
    """Check the middleware of a class; see `check_middleware`."""
    if not isinstance(functions, list | tuple):
        raise ConfigurationError(f"{where}={functions!r} must be a list of coroutine functions")
    for function in functions:
        check_middleware(where, function)


def check_middleware(where: str, function: object) -> None:
    """Refuse what cannot stand around `handle`.

    Raises:
        ConfigurationError: names where, the thing and the fix.
    """
    if not callable(function) or not is_async(function):
        raise ConfigurationError(
            f"{where}: {function!r} must be a coroutine function: "
            "async def middleware(job, go_on): return await go_on(job)"
        )
    if not takes(function, 2):
        raise ConfigurationError(
            f"{where}: {function!r} must take a job and go_on: "
            "async def middleware(job, go_on): return await go_on(job)"
        )
