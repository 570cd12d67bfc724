"""Exceptions of a job process, on their way to the worker: as data, never as a pickle."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from routeq_mqtt.boundary import control_in, described, is_a, leaves, message_of
from routeq_mqtt.errors import Fail, JobControl, Release, Retry
from routeq_mqtt.wire.display import readable

if TYPE_CHECKING:
    from routeq_mqtt.boundary import Described

_MOST = 50
"""Exceptions of one group that travel."""

_MOST_LOOKED_AT = 10_000
"""Exceptions of one group that those are chosen from: first what steers the job."""

_CONTROLS: dict[str, type[JobControl]] = {kind.__name__: kind for kind in (Fail, Retry, Release)}


class ChildTraceback(Exception):
    """The child's traceback, shown as the cause of what the job raised."""


def as_data(error: BaseException) -> dict[str, Any]:
    """An exception as it travels. Raises nothing, whatever the exception's own methods do."""
    if not is_a(error, BaseExceptionGroup):
        return _one(error, described(error))
    # Flat, however it is nested: each of its exceptions counts, and not where it is.
    data = _one(error, described(error)) | {"text": message_of(error)}
    found = list(leaves(error, _MOST_LOOKED_AT))
    steering = [leaf for leaf in found if is_a(leaf, JobControl)]
    others = [leaf for leaf in found if not is_a(leaf, JobControl)]
    data["group"] = [_one(leaf, described(leaf)) for leaf in (steering + others)[:_MOST]]
    return data


def _one(error: BaseException, raised: Described) -> dict[str, Any]:
    control = control_in(error) if is_a(error, JobControl) else None
    return {
        "module": _name_of(type(error), "__module__"),
        "name": _name_of(type(error), "__qualname__"),
        "text": raised.text,
        "traceback": raised.traceback,
        "control": next((name for name, one in _CONTROLS.items() if isinstance(control, one)), ""),
        "is_exception": is_a(error, Exception),
        "delay": getattr(control, "delay", None),
    }


def _name_of(kind: type, name: str) -> str:
    """Past a metaclass, which could say anything."""
    try:
        return readable(str(type.__dict__[name].__get__(kind)))
    except BaseException:  # noqa: BLE001 - what a class is called may be any object
        return ""


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
        error: BaseException = _same_group(data, list(map(from_data, data["group"])))
    else:
        error = _same_class(data)
    error.__cause__ = ChildTraceback(f"\n{data['traceback']}")
    return error


def _same_group(data: dict[str, Any], members: list[BaseException]) -> BaseException:
    """A group of the same name: a class of the user's may want more to be made."""
    group: type[BaseExceptionGroup[Any]] = BaseExceptionGroup
    if all(isinstance(one, Exception) for one in members):
        group = ExceptionGroup
    name = data["name"].rpartition(".")[2]
    if name and data["module"] != "builtins":
        group = type(name, (group,), {"__module__": data["module"]})
    return group(data["text"], members)


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
