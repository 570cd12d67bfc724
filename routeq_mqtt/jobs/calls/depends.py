"""`Depends`: what a job needs beside its data, made where it runs."""

from __future__ import annotations

import inspect
import typing
from contextlib import (
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.calls.life import current_life
from routeq_mqtt.jobs.signatures import is_async, refuse_missing
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

T = TypeVar("T")

Scope = Literal["job", "worker"]

_instead: dict[Any, Any] = {}


@dataclass(frozen=True, eq=False)
class Dependency:
    """What a parameter is filled with.

    Attributes:
        function: makes it.
        scope: "job": anew for each run of a job; "worker": once for each worker.
    """

    function: Callable[..., Any]
    scope: Scope


@overload
def Depends(function: Callable[..., AsyncIterator[T]], *, scope: Scope = "job") -> T: ...
@overload
def Depends(function: Callable[..., Iterator[T]], *, scope: Scope = "job") -> T: ...
@overload
def Depends(function: Callable[..., Awaitable[T]], *, scope: Scope = "job") -> T: ...
@overload
def Depends(function: Callable[..., T], *, scope: Scope = "job") -> T: ...
def Depends(function: Callable[..., Any], *, scope: Scope = "job") -> Any:  # noqa: N802
    """Fill a parameter of `handle`, or of a function job, where it runs.

    ``async def handle(self, db: Session = Depends(get_db)) -> None``, or
    ``db: Annotated[Session, Depends(get_db)]``. It is no part of the job's data.

    Args:
        function: makes the value: a function, a coroutine function, or a generator of one value,
            plain or asynchronous, whose rest runs when the value is needed no more. It may have
            such parameters itself. Where a job names one several times, it is made once.
        scope: "job" (default): for each run of a job. "worker": for all jobs of a worker, until it
            ends.

    Raises:
        ConfigurationError: it is not a function, or there is no such scope.
    """
    if not callable(function):
        raise ConfigurationError(f"Depends: {function!r} must be a function that makes the value")
    if scope not in {"job", "worker"}:
        raise ConfigurationError(f"Depends: scope={scope!r} must be 'job' or 'worker'")
    return Dependency(function, scope)


def override(
    function: Callable[..., Any], instead: Callable[..., Any]
) -> AbstractContextManager[None]:
    """Use another function in place of one that is given to `Depends`, in tests.

    ``with override(get_db, lambda: fake_db): …``

    Raises:
        ConfigurationError: one of them is no function.
    """
    for one in (function, instead):
        if not callable(one):
            raise ConfigurationError(
                f"override: {shown(one)} must be a function; of a value: lambda: value"
            )
    return _overridden(function, instead)


@contextmanager
def _overridden(function: Callable[..., Any], instead: Callable[..., Any]) -> Iterator[None]:
    before = _instead.get(function)
    _instead[function] = instead
    try:
        yield
    finally:
        if before is None:
            del _instead[function]
        else:
            _instead[function] = before


@lru_cache(maxsize=1_000)  # asked for each run
def dependencies_of(function: Callable[..., Any]) -> dict[str, Dependency]:
    """The parameters that are filled in where a function runs, by name; most have none."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # of a builtin, for one
        return {}
    found: dict[str, Dependency] = {}
    for name, parameter in parameters.items():
        if isinstance(parameter.default, Dependency):
            found[name] = parameter.default
        elif parameter.annotation is not parameter.empty:
            found.update((name, one) for one in _annotated(function, name, parameter.annotation))
    return found


def _annotated(function: Callable[..., Any], name: str, annotation: Any) -> list[Dependency]:
    """What a parameter's annotation says, also by another name: ``Db = Annotated[…]``."""
    holder = type("Parameter", (), {"__annotations__": {name: annotation}})
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        hint = typing.get_type_hints(holder, scope, {}, include_extras=True)[name]
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        if "Depends" not in str(annotation):
            return []  # for type checkers only
        raise ConfigurationError(
            f"{function.__qualname__}: its annotations name what does not exist here ({error}); "
            "import it outside of `if TYPE_CHECKING`, or write = Depends(…)"
        ) from None
    said = getattr(hint, "__metadata__", ())
    if Depends in said:
        raise ConfigurationError(
            f"{function.__qualname__}: {name!r} is annotated with Depends itself; "
            "write Depends(…) with the function that makes the value"
        )
    return [part for part in said if isinstance(part, Dependency)]


def injected(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its dependencies filled in; itself where it has none.

    Raises:
        ConfigurationError: a plain function depends on what has to be awaited; or a dependency
            needs what nothing fills in, or itself.
    """
    needs = dependencies_of(function)
    if not needs:
        return function
    for need in needs.values():
        _check_needs(function, need, ())
    names = list(inspect.signature(function).parameters)
    if is_async(function):

        @wraps(function)
        async def call(*args: Any, **given: Any) -> Any:
            async with AsyncExitStack() as stack:
                made = await _Resolver(stack).all(needs, {*given, *names[: len(args)]})
                return await function(*args, **given, **made)

        return call
    for need in needs.values():
        _refuse_async(function, need)

    @wraps(function)
    def call_plain(*args: Any, **given: Any) -> Any:
        with ExitStack() as stack:
            made = _PlainResolver(stack).all(needs, {*given, *names[: len(args)]})
            return function(*args, **given, **made)

    return call_plain


def _check_needs(
    function: Callable[..., Any], need: Dependency, above: tuple[Callable[..., Any], ...]
) -> None:
    name = getattr(need.function, "__qualname__", shown(need.function))
    if need.function in above:
        raise ConfigurationError(
            f"{function.__qualname__}: the dependency {name} needs itself; take one of the "
            "Depends(…) between them away"
        )
    inner = dependencies_of(need.function)
    refuse_missing(f"{function.__qualname__}: the dependency {name}", need.function, inner)
    for one in inner.values():
        _check_needs(function, one, (*above, need.function))


def _refuse_async(function: Callable[..., Any], need: Dependency) -> None:
    if is_async(need.function) or inspect.isasyncgenfunction(need.function):
        raise ConfigurationError(
            f"{function.__qualname__} is a plain function, and {need.function.__qualname__} has to "
            "be awaited; write async def, or depend on a plain function"
        )
    for inner in dependencies_of(need.function).values():
        _refuse_async(function, inner)


class _Resolver:
    """Makes what one run of a coroutine function needs."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._made: dict[Any, Any] = {}

    async def all(self, needs: Mapping[str, Dependency], given: set[str]) -> dict[str, Any]:
        return {name: await self._one(need) for name, need in needs.items() if name not in given}

    async def _one(self, need: Dependency) -> Any:
        life = current_life() if need.scope == "worker" else None
        if life is None:
            return await self._made_once(need, self._made, self._stack)
        if need.function in life.made and need.function not in _instead:
            return life.made[need.function]
        async with life.lock:
            inner = _Resolver(life.stack)
            return await inner._made_once(need, life.made, life.stack)

    async def _made_once(
        self, need: Dependency, made: dict[Any, Any], stack: AsyncExitStack
    ) -> Any:
        function = _instead.get(need.function, need.function)
        if function not in made:
            inner = await self.all(dependencies_of(function), set())
            made[function] = await _value(function, inner, stack)
        return made[function]


async def _value(
    function: Callable[..., Any], arguments: Mapping[str, Any], stack: AsyncExitStack
) -> Any:
    if inspect.isasyncgenfunction(function):
        return await stack.enter_async_context(asynccontextmanager(function)(**arguments))
    if inspect.isgeneratorfunction(function):
        return stack.enter_context(contextmanager(function)(**arguments))
    value = function(**arguments)
    return await value if inspect.isawaitable(value) else value


class _PlainResolver:
    """Makes what one run of a plain function needs, in its thread."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._made: dict[Any, Any] = {}

    def all(self, needs: Mapping[str, Dependency], given: set[str]) -> dict[str, Any]:
        return {name: self._one(need) for name, need in needs.items() if name not in given}

    def _one(self, need: Dependency) -> Any:
        function = _instead.get(need.function, need.function)
        life = current_life() if need.scope == "worker" else None
        if life is not None and function in life.made:
            return life.made[function]
        if function not in self._made:
            inner = self.all(dependencies_of(function), set())
            context: AbstractContextManager[Any]
            if inspect.isgeneratorfunction(function):
                context = contextmanager(function)(**inner)
            else:
                context = nullcontext(function(**inner))
            self._made[function] = self._stack.enter_context(context)
        return self._made[function]
