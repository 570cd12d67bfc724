"""``--app``: imports the modules that define job classes, and says which ones it found there."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.boundary import described, one_line
from routeq_mqtt.cli.common import keep_logging
from routeq_mqtt.errors import ConfigurationError, RouteqError
from routeq_mqtt.jobs import registry
from routeq_mqtt.jobs.job import Job
from routeq_mqtt.jobs.keywords import name_of
from routeq_mqtt.jobs.registry import job_class_of
from routeq_mqtt.jobs.trigger import declared, from_flag

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from routeq_mqtt.wire.messages.trigger import Trigger

log: logging.Logger = logging.getLogger(__name__)

App = Annotated[
    list[str],
    typer.Option(
        "--app",
        help="Module that defines the jobs, as in an import. Repeatable.",
        envvar="ROUTEQ_APP",
    ),
]
Triggers = Annotated[
    list[str],
    typer.Option(
        "--trigger",
        help="Make jobs of MQTT messages: 'devices/{device_id}/telemetry=job_name'. Repeatable.",
    ),
]


def load_apps(names: Iterable[str], log_level: str = "info") -> None:
    """Import the modules that define the job classes, from the current folder too.

    Outside of an event loop: a module may start one of its own, or ask Django's ORM. A module
    without job classes is a warning, no error: it may be there for its middleware or hooks.

    Args:
        names: as in an import.
        log_level: what this process logs from, whatever the modules configure for themselves.

    Raises:
        ConfigurationError: there is no such module, or its import fails; says where.
    """
    try:
        _load_apps(names)
    finally:
        keep_logging(log_level)


def _load_apps(names: Iterable[str]) -> None:
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
    """The queues of some ``--queue``, highest priority first; one flag may name several."""
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
    if not name or name.startswith("."):
        raise ConfigurationError(f"--app={name!r} must be a full name, as myproject.jobs")
    _look_in_the_current_folder()
    try:
        return importlib.import_module(name)
    except (RouteqError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - the boundary of users' code
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"--app={name!r}: there is no module {error.name!r} on the path; "
                "name it as in an import, for example --app myproject.jobs"
            ) from None
        raised = described(error)
        log.debug("--app=%r cannot be imported\n%s", name, raised.for_log)
        raise ConfigurationError(
            f"--app={name!r} cannot be imported: {one_line(raised.line)}{_where(error)}; "
            "--log-level debug prints the traceback"
        ) from None


def _look_in_the_current_folder() -> None:
    try:
        here = str(Path.cwd())
    except OSError as error:
        log.warning("the current folder is gone, nothing is imported from it: %s", error)
        return
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)


def _where(error: BaseException) -> str:
    """The line that raised, of a module's own code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.lineno]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def _jobs_in(module: ModuleType) -> set[str]:
    """Wire names of the classes that a module defines or imports by name."""
    found = map(job_class_of, vars(module).values())
    classes = (value for value in found if isinstance(value, type))
    return {name_of(kind) for kind in classes if issubclass(kind, Job) and kind is not Job}


def _instead(module: ModuleType) -> str:
    """What a package has within: often one of these was meant."""
    within = [found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))]
    if not within:
        return "; name the module that defines the classes, for example --app myproject.jobs"
    shown = ", ".join(f"{module.__name__}.{name}" for name in within[:10])
    return f"; a package does not import its modules by itself: name one of {shown}"
