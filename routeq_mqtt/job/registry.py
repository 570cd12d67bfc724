"""Wire names and their job classes. A worker runs what is registered here, and nothing else."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from routeq_mqtt.errors import DuplicateJobName, UnknownJob

if TYPE_CHECKING:
    from routeq_mqtt.job.job import Job

_classes: dict[str, type[Job]] = {}


def register(name: str, job_class: type[Job]) -> None:
    """Register a class; the same class defined again (a reload, a notebook) replaces itself.

    Raises:
        DuplicateJobName: another class has this name.
    """
    other = _classes.get(name)
    if other is not None and _place(other) != _place(job_class):
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
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise UnknownJob(
            f"no job class is registered as {name!r} in this process{hint} "
            "Import the module that defines it: routeq-mqtt worker --app MODULE"
        ) from None


def names() -> list[str]:
    """All registered names."""
    return sorted(_classes)


def _place(job_class: type) -> str:
    module = "__main__" if job_class.__module__ == "__mp_main__" else job_class.__module__
    return f"{module}.{job_class.__qualname__}"
