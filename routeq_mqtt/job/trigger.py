"""``@trigger``: messages of devices become jobs where they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from routeq_mqtt.errors import ConfigurationError, UnknownJob
from routeq_mqtt.job import registry
from routeq_mqtt.job.job import Job, shape_of
from routeq_mqtt.wire.trigger import Trigger, check_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

J = TypeVar("J", bound=type[Job])

_declared: dict[tuple[str, str], type[Job]] = {}


def trigger(pattern: str) -> Callable[[J], J]:
    """Each message on a topic becomes a job of this class.

    ``@trigger("devices/{device_id}/telemetry")``: the level in braces is the field `device_id`; the
    keys of a payload that is a map are fields; any other payload is the field `payload`. A worker
    that imports the class tells the scheduler, which from then on listens, also while no worker
    runs (`docs/edge.md`).

    Args:
        pattern: an MQTT topic filter; see `Trigger`.

    Raises:
        ConfigurationError: the pattern is wrong, or the class lacks a field that it names.
    """

    def declare(job_class: J) -> J:
        make_trigger(pattern, job_class, f"@trigger of {job_class.__name__}")
        _declared[pattern, job_class.name] = job_class
        return job_class

    return declare


def declared() -> list[Trigger]:
    """The triggers of all classes that were imported."""
    return [make_trigger(pattern, kind, "@trigger") for (pattern, _), kind in _declared.items()]


def from_flag(text: str) -> Trigger:
    """A trigger from ``--trigger``: ``PATTERN=JOB``.

    Raises:
        ConfigurationError: it makes no sense, or no such job is registered.
    """
    pattern, equals, name = text.rpartition("=")
    if not equals or not name:
        raise ConfigurationError(
            f"--trigger={text!r} must be PATTERN=JOB, for example "
            "'devices/{device_id}/telemetry=process_telemetry'"
        )
    try:
        job_class = registry.lookup(name)
    except UnknownJob as error:
        raise ConfigurationError(f"--trigger={text!r}: {error}") from None
    return make_trigger(pattern, job_class, "--trigger")


def make_trigger(pattern: str, job_class: type[Job], where: str) -> Trigger:
    """A trigger for a class; see `trigger`."""
    check_pattern(pattern, where, reserved=("routeq/", "queue/"))
    shape = shape_of(job_class)
    made = Trigger(
        pattern=pattern,
        job=job_class.name,
        queue=job_class.queue,
        with_topic="topic" in shape.fields,
    )
    missing = [name for name in made.names if shape.by_keyword and name not in shape.fields]
    if missing:
        raise ConfigurationError(
            f"{where}={pattern!r}: {job_class.__name__} has no field {missing[0]!r}; add it"
        )
    return made
