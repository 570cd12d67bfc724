"""Wire names and their job classes. A worker runs what is registered here, and nothing else."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from routeq_mqtt.errors import DuplicateJobName, UnknownJob
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from types import CodeType

    from routeq_mqtt.jobs.job import Job

_classes: dict[str, type[Job]] = {}
_places: dict[str, _Place | None] = {}
_MAIN = frozenset({"__main__", "__mp_main__"})
_DEFINING = frozenset({"__init_subclass__", "_job_defined", "new_class"})
"""What runs between a class or function and its registration, beside our own decorators."""

_OURS = frozenset({"routeq_mqtt.jobs.calls.functions", "routeq_mqtt.bus.functions"})


def register(name: str, job_class: type[Job]) -> None:
    """Register a class; the same class defined again (a reload, a notebook) replaces itself.

    Raises:
        DuplicateJobName: another class has this name, also in the same module; names both places.
    """
    place = _definition()
    other, before = _classes.get(name), _places.get(name)
    if other is not None and (not _same(other, job_class) or _beside(before, place)):
        raise DuplicateJobName(
            f"job name {name!r} is taken by {_shown(other, before)}; give "
            f'{_shown(job_class, place)} another one: name = "…"'
        )
    _classes[name] = job_class
    _places[name] = place


class MadeOfFunction(Protocol):
    """A function that was decorated with `job`."""

    job_class: Any


def job_class_of(thing: Any) -> Any:  # noqa: ANN401 - whatever a user gives
    """The job class of a function job; anything else as it is."""
    return thing if isinstance(thing, type) else getattr(thing, "job_class", thing)


def lookup(name: str) -> type[Job]:
    """The class of a name.

    Raises:
        UnknownJob: none is registered; says which names come close.
    """
    try:
        return _classes[name]
    except KeyError:
        close = difflib.get_close_matches(name, _classes, n=3)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise UnknownJob(
            f"no job class is registered as {shown(name)} in this process.{hint} "
            "Import the module that defines it: routeq-mqtt worker --app MODULE"
        ) from None


def find(name: str) -> type[Job] | None:
    """The class of a name, or None where none is registered."""
    return _classes.get(name)


def names() -> list[str]:
    """All registered names."""
    return sorted(_classes)


class _Place(NamedTuple):
    """Where a class is written: the code that ran, which is another one after a reload."""

    code: CodeType
    line: int


def _definition() -> _Place | None:
    """Where the class that registers itself is written."""
    frame = sys._getframe(2)
    while frame.f_back is not None and (
        frame.f_code.co_name in _DEFINING or frame.f_globals.get("__name__") in _OURS
    ):
        frame = frame.f_back
    return _Place(frame.f_code, frame.f_lineno)


def _beside(one: _Place | None, other: _Place | None) -> bool:
    """Whether both stand in one run of one module's body: the last would win silently.

    A reload, and a notebook's cell that is run again, are compiled anew.
    """
    if one is None or other is None or one.code is not other.code:
        return False
    return one.code.co_name == "<module>" and one.line != other.line


def _shown(job_class: type, place: _Place | None) -> str:
    where = f" ({place.code.co_filename}, line {place.line})" if place is not None else ""
    return f"{job_class.__module__}.{job_class.__qualname__}{where}"


def _same(one: type, other: type) -> bool:
    """Whether two classes come from one place in one file.

    A module that was started as a program is `__main__`, and once more itself when it is imported.
    """
    if one.__qualname__ != other.__qualname__:
        return False
    modules = {one.__module__, other.__module__}
    if len(modules - _MAIN) <= (0 if modules & _MAIN else 1):
        return True
    files = {_file(module) for module in modules}
    return bool(modules & _MAIN) and len(files) == 1 and None not in files


def _file(module: str) -> Path | None:
    where = getattr(sys.modules.get(module), "__file__", None)
    return None if where is None else Path(where).resolve()
