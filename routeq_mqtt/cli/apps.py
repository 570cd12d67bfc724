"""``--app``: imports the modules that define job classes, and says which ones it found there."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.job import registry
from routeq_mqtt.job.job import Job
from routeq_mqtt.job.trigger import declared, from_flag

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from routeq_mqtt.wire.trigger import Trigger

log = logging.getLogger(__name__)

App = Annotated[
    list[str], typer.Option("--app", help="Module that defines the jobs.", envvar="ROUTEQ_APP")
]
Triggers = Annotated[
    list[str],
    typer.Option(
        "--trigger", help="Messages that become jobs: 'devices/{device_id}/telemetry=job_name'."
    ),
]


def load_apps(names: Iterable[str]) -> None:
    """Import the modules that define the job classes, from the current folder too.

    A module without any is a warning, no error: it may be there for its middleware or hooks.

    Raises:
        ConfigurationError: there is no such module.
    """
    for name in names:
        before = set(registry.names())
        module = _import(name)
        known = set(registry.names())
        found = (_jobs_in(module) & known) | (known - before)
        if found:
            log.info("app=%s jobs=%s", name, ",".join(sorted(found)))
        else:
            log.warning(
                "--app=%r: no job class was found in %s%s",
                name,
                getattr(module, "__file__", None) or "that folder",
                _instead(module),
            )


def queues_of(flags: Iterable[str]) -> tuple[str, ...]:
    """The queues of some ``--queue``, first ones first; one flag may name several."""
    return tuple(name for flag in flags for name in flag.split(","))


def triggers_of(flags: Iterable[str]) -> tuple[Trigger, ...]:
    """What the loaded job classes declare, and what ``--trigger`` says."""
    return (*declared(), *map(from_flag, flags))


def warn_without_jobs() -> None:
    """A worker that knows no job class fails every job that it is given: say so at its start."""
    if not registry.names():
        log.warning(
            "this worker knows no job class: every job that it gets becomes a failed record; "
            "name the module that defines them: routeq-mqtt worker --app myproject.jobs"
        )


def _import(name: str) -> ModuleType:
    if name.startswith("."):
        raise ConfigurationError(f"--app={name!r} must be a full name, as myproject.jobs")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"--app={name!r}: there is no module {error.name!r} on the path; "
            "name it as in an import, for example --app myproject.jobs"
        ) from None


def _jobs_in(module: ModuleType) -> set[str]:
    """Wire names of the classes that a module defines or imports by name."""
    classes = (value for value in vars(module).values() if isinstance(value, type))
    return {kind.name for kind in classes if issubclass(kind, Job) and kind is not Job}


def _instead(module: ModuleType) -> str:
    """What a package has within: often one of these was meant."""
    within = [found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))]
    if not within:
        return "; name the module that defines the classes, for example --app myproject.jobs"
    shown = ", ".join(f"{module.__name__}.{name}" for name in within[:10])
    return f"; a package does not import its modules by itself: name one of {shown}"
