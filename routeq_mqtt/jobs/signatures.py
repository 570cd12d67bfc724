"""What a user's function is: looked at where it is handed over, not when it is called."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping


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


def takes_names(function: Callable[..., Any], names: Iterable[str]) -> bool:
    """Whether it can be called with these arguments by name; True also where that is unknown."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError:
        return False
    return True


def refuse_generator(where: str, function: object) -> None:
    """Refuse what would not run when it is called.

    Raises:
        ConfigurationError: it is a generator.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"{where} is a generator, and a worker would run nothing of it; leave out the yield"
        )


def refuse_missing(
    where: str, function: Callable[..., Any], filled: Container[str], *, skip: int = 0
) -> None:
    """Refuse a function that nothing can call: it needs a parameter that nothing fills in.

    Args:
        where: it was written.
        function: the function.
        filled: names of parameters that are filled in.
        skip: parameters at its beginning that are given.

    Raises:
        ConfigurationError: names the parameter.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of a builtin, for one
        return
    for part in parameters[skip:]:
        if part.kind in {part.VAR_POSITIONAL, part.VAR_KEYWORD} or part.name in filled:
            continue
        if part.default is part.empty:
            raise ConfigurationError(
                f"{where} needs {part.name!r}, and nothing fills it in; "
                f"give it a default, or {part.name}: … = Depends(…)"
            )


def check_methods(where: str, body: Mapping[str, Any], filled: Container[str]) -> None:
    """Check the methods of a job class that a worker calls, as they are written.

    Args:
        where: the class.
        body: of the class.
        filled: names of parameters of `handle` that are filled in.

    Raises:
        ConfigurationError: one of them could not be called.
    """
    for name, arguments in _CALLED.items():
        method = body.get(name)
        if method is None:
            continue
        function = getattr(method, "__func__", method)  # of a static method
        given = arguments - isinstance(method, staticmethod)
        if not callable(function) and not hasattr(type(function), "__get__"):
            raise ConfigurationError(
                f"{where}: {name}={shown(method)} must be a method: "
                f"def {_CALLS.get(name, 'handle(self)')}"
            )
        refuse_generator(f"{where}.{name}", function)
        if name != "handle" and not takes(function, given):
            raise ConfigurationError(f"{where}.{name} must be called as {_CALLS[name]}")
        if name == "handle" and not inspect.isclass(function) and inspect.isroutine(function):
            if given and not _takes_one(function):
                raise ConfigurationError(f"{where}.handle lacks self: define `handle(self)`")
            refuse_missing(f"{where}.handle", function, filled, skip=given)


_CALLED = {"handle": 1, "failed": 2, "unique_key": 1, "rate_key": 1, "concurrency_key": 1}
"""Methods of a job, and how many arguments they are called with, self included."""

_CALLS = {
    "failed": "failed(self, error)",
    "unique_key": "unique_key(self)",
    "rate_key": "rate_key(self)",
    "concurrency_key": "concurrency_key(self)",
}


def _takes_one(function: Callable[..., Any]) -> bool:
    """Whether there is a place for `self`."""
    try:
        parts = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(part.kind not in {part.KEYWORD_ONLY, part.VAR_KEYWORD} for part in parts)


def has_run(value: object) -> object:
    """What a plain function returned.

    Raises:
        TypeError: a generator, as of a decorated generator function: nothing of it has run.
    """
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        raise TypeError(f"handle() returned a {type(value).__name__}, of which nothing has run")
    return value
