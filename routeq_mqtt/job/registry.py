"""Wire names and their job classes. A worker runs what is registered here, and nothing else."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from routeq_mqtt.errors import DuplicateJobName, UnknownJob
from routeq_mqtt.wire.shown import shown

if TYPE_CHECKING:
    from routeq_mqtt.job.job import Job

_classes: dict[str, type[Job]] = {}
_MAIN = frozenset({"__main__", "__mp_main__"})


def register(name: str, job_class: type[Job]) -> None:
    """Register a class; the same class defined again (a reload, a notebook) replaces itself.

    Raises:
        DuplicateJobName: another class has this name.
    """
    other = _classes.get(name)
    if other is not None and not _same(other, job_class):
        raise DuplicateJobName(
            f"job name {name!r} is taken by {_place(other)}; give {_place(job_class)} "
            f'another one: name = "…"'
        )
    _classes[name] = job_class


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


def names() -> list[str]:
    """All registered names."""
    return sorted(_classes)


def _place(job_class: type) -> str:
    return f"{job_class.__module__}.{job_class.__qualname__}"


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
