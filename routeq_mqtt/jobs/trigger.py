"""``@trigger``: messages of devices become jobs where they arrive."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from routeq_mqtt.errors import ConfigurationError, UnknownJob
from routeq_mqtt.jobs import registry
from routeq_mqtt.jobs.job import Job, shape_of
from routeq_mqtt.jobs.keywords import name_of, options_of
from routeq_mqtt.wire.messages.trigger import Payload, Trigger, check_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

_PAYLOADS: dict[object, Payload] = {bytes: "bytes", str: "text"}

J = TypeVar("J", bound=type[Job] | registry.MadeOfFunction)

_declared: dict[tuple[str, str], type[Job]] = {}


def trigger(pattern: str) -> Callable[[J], J]:
    """Make a job of this class of each message on a topic.

    With ``@trigger("devices/{device_id}/telemetry")``, the topic level in braces becomes the field
    `device_id`. If the payload is a map, its keys become fields; any other payload becomes the
    field `payload` (as sent, if that is annotated `bytes` or `str`). A worker that imports the
    class registers the trigger with the scheduler, which from then on subscribes to the topic, also
    while no worker runs (`docs/edge.md`).

    Args:
        pattern: an MQTT topic filter; see `Trigger`.

    Raises:
        ConfigurationError: the pattern is invalid, or names a field that the class does not have.
    """

    def declare(decorated: J) -> J:
        job_class = registry.job_class_of(decorated)
        make_trigger(pattern, job_class, f"@trigger of {job_class.__name__}")
        _declared[pattern, name_of(job_class)] = job_class
        return decorated

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
        job=name_of(job_class),
        queue=options_of(job_class).queue,
        with_topic="topic" in shape.fields,
        payload=_PAYLOADS.get(shape.type_of("payload")),
    )
    made = replace(made, maps=bool(shape.fields.keys() - {"payload", "topic", *made.names}))
    missing = [name for name in made.names if shape.by_keyword and name not in shape.fields]
    if missing:
        raise ConfigurationError(
            f"{where}={pattern!r}: {job_class.__name__} has no field {missing[0]!r}; add it"
        )
    return made
