"""Exceptions of a job process, on their way to the worker: as data, never as a pickle."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from routeq_mqtt.boundary import described
from routeq_mqtt.errors import Fail, JobControl, Release, Retry

_MOST = 50
"""Exceptions of one group that travel."""

_CONTROLS: dict[str, type[JobControl]] = {kind.__name__: kind for kind in (Fail, Retry, Release)}


class ChildTraceback(Exception):
    """The child's traceback, shown as the cause of what the job raised."""


def as_data(error: BaseException) -> dict[str, Any]:
    """An exception as it travels. Raises nothing, whatever the exception's own methods do."""
    kind, raised = type(error), described(error)
    data: dict[str, Any] = {
        "module": str(kind.__module__),
        "name": str(kind.__qualname__),
        "text": raised.text,
        "traceback": raised.traceback,
        "control": next((name for name, one in _CONTROLS.items() if isinstance(error, one)), ""),
        "is_exception": isinstance(error, Exception),
        "delay": getattr(error, "delay", None) if isinstance(error, JobControl) else None,
    }
    if isinstance(error, BaseExceptionGroup):
        data["text"] = str(error.message)[:1_000]
        data["group"] = [as_data(one) for one in error.exceptions[:_MOST]]
    return data


def from_data(data: dict[str, Any]) -> BaseException:
    """The exception that `as_data` describes, with the child's traceback as its cause.

    It is of the same class where the worker has that, so that `dont_retry_on` knows it; else of a
    class of the same name.
    """
    control = _CONTROLS.get(data["control"])
    if control is Fail:
        return Fail(data["text"])
    if control is Retry:
        return Retry(data["text"], delay=data["delay"])
    if control is Release:
        return Release(delay=data["delay"], reason=data["text"])
    if "group" in data:
        error: BaseException = BaseExceptionGroup(data["text"], list(map(from_data, data["group"])))
    else:
        error = _same_class(data)
    error.__cause__ = ChildTraceback(f"\n{data['traceback']}")
    return error


def _same_class(data: dict[str, Any]) -> BaseException:
    kind: Any = sys.modules.get(data["module"])
    for part in data["name"].split("."):
        kind = getattr(kind, part, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        with contextlib.suppress(BaseException):  # its own __new__ and __str__
            error: BaseException = kind.__new__(kind)
            error.args = (data["text"],)
            str(error)
            return error
    # The very class of any other BaseException would mean something else here: a cancellation, the
    # end of a process.
    name = data["name"].rpartition(".")[2] or "Exception"
    base: type[BaseException] = RuntimeError if data["is_exception"] else BaseException
    same_name: type[BaseException] = type(name, (base,), {"__module__": data["module"]})
    return same_name(data["text"])
