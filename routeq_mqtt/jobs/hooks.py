"""Hooks: functions that this process calls when something happens to a job in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from routeq_mqtt.boundary import described, one_line
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.signatures import is_async, takes

log: logging.Logger = logging.getLogger(__name__)

EVENTS = ("dispatched", "started", "progress", "retried", "failed", "done", "cancelled")
"""What may happen: the first where a job is dispatched, the others in the worker that has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Something that happened to a job.

    Attributes:
        event: one of `EVENTS`.
        id, job, queue: of the job; `job` is its wire name.
        by: the id of the worker, or the client identifier of the producer.
        at: when it happened, UTC epoch seconds.
        more: details, depending on the event: `attempt`, `delay` (seconds), `error`, `reason`,
            `done`, `total`, `note`.
    """

    event: str
    id: str
    job: str
    queue: str
    by: str
    at: float
    more: dict[str, Any] = field(default_factory=dict)


Hook = Callable[[JobEvent], None]

_H = TypeVar("_H", bound=Hook)

_hooks: dict[str, list[Hook]] = {}


def on(*events: str) -> Callable[[_H], _H]:
    """Call the decorated function for some job events: ``@on("failed")``; without names, for all.

    The function runs in the event loop and must not block. An exception that it raises is logged
    and does not affect the job.

    Args:
        *events: names of events, of `EVENTS`; default: all.

    Raises:
        ConfigurationError: an event is unknown; lists the known ones.
    """
    for event in events:
        if event not in EVENTS:
            raise ConfigurationError(
                f"on: there is no event {event!r}; use {', '.join(EVENTS)}, or @on() for all"
            )

    def add(function: _H) -> _H:
        if not callable(function) or not takes(function, 1):
            raise ConfigurationError(f"on: {function!r} must be a function of a JobEvent")
        if is_async(function):
            raise ConfigurationError(
                f"on: {function!r} must be a plain function, def …(event): a coroutine would never "
                "run; it may start a task: asyncio.create_task(…)"
            )
        for event in events or EVENTS:
            hooks = _hooks.setdefault(event, [])
            if function not in hooks:
                hooks.append(function)
        return function

    return add


def remove_hook(function: Hook) -> None:
    """Remove a hook; one that is not registered changes nothing."""
    for event, hooks in list(_hooks.items()):
        if function in hooks:
            hooks.remove(function)
        if not hooks:
            del _hooks[event]


def wanted(event: str | None = None) -> bool:
    """Whether this process has a hook for an event; without a name: for any."""
    return bool(_hooks) if event is None else event in _hooks


def fire(event: JobEvent) -> None:
    """Call the hooks of an event."""
    for hook in tuple(_hooks.get(event.event, ())):
        try:
            hook(event)
        except BaseException as error:  # noqa: BLE001 - the boundary of users' code
            raised = described(error)
            log.error(
                "a hook raised event=%s id=%s hook=%s error=%s\n%s",
                event.event,
                event.id,
                getattr(hook, "__qualname__", type(hook).__name__),
                one_line(raised.line),
                raised.for_log,
            )
