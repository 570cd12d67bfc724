"""Context variables that travel with a job: set where it is dispatched, set again where it runs.

The W3C trace context (https://www.w3.org/TR/trace-context/) does so from the start: `traceparent`
and `tracestate`, in the headers of that name. Others join by `travels`.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The trace that this code works for: set by a tracing library, or from a web request."""

tracestate: ContextVar[str | None] = ContextVar("tracestate", default=None)
"""What vendors of tracing add to it."""

_travelling: dict[str, ContextVar[Any]] = {"traceparent": traceparent, "tracestate": tracestate}


def propagate(variable: ContextVar[Any], header: str | None = None) -> None:
    """Let a context variable travel with every job that is dispatched from now on.

    The worker's process must say the same; else the value is only a header there.

    Args:
        variable: whose value must be able to travel, as a job's data.
        header: under which it goes; default: the variable's name.

    Raises:
        ConfigurationError: another variable has that header.
    """
    if not isinstance(variable, ContextVar):
        raise ConfigurationError(f"travels: {variable!r} must be a contextvars.ContextVar")
    name = header or variable.name
    if _travelling.setdefault(name, variable) is not variable:
        raise ConfigurationError(f"travels: header {name!r} is taken by another context variable")


def carried() -> dict[str, Any]:
    """The headers that the present context gives a job; empty for most."""
    found = {}
    for header, variable in _travelling.items():
        value = variable.get(None)
        if value is not None:
            found[header] = value
    return found


@contextlib.contextmanager
def restored(headers: Mapping[str, Any]) -> Iterator[None]:
    """The context that a job was dispatched in, as far as it travelled, while the block runs."""
    tokens = [
        (variable, variable.set(headers[header]))
        for header, variable in _travelling.items()
        if headers.get(header) is not None
    ]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)
