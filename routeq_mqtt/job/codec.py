"""A job becomes an envelope, an envelope becomes a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.job import registry
from routeq_mqtt.job.job import Job, conversions, takes_keywords
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable


def to_envelope(
    job: Job,
    *,
    now: float,
    queue: str | None = None,
    delay: float | None = None,
    run_at: float | None = None,
    expires_at: float | None = None,
    headers: dict[str, Any] | None = None,
) -> Envelope:
    """An envelope with a new id.

    Args:
        job: to send; its `job_id` is set.
        now: UTC epoch seconds.
        queue: default: the class's.
        delay: seconds, relative to when the scheduler gets it.
        run_at: when to run it, UTC epoch seconds.
        expires_at: when it is too late, UTC epoch seconds.
        headers: travel along.
    """
    if not isinstance(job, Job):
        raise TypeError(f"{job!r} is no job; pass an instance of a subclass of Job")
    job.job_id = new_id()
    return Envelope(
        id=job.job_id,
        job=type(job).name,
        data=job.data(),
        queue=queue or job.queue,
        delay=delay,
        dispatched_at=now,
        run_at=run_at,
        expires_at=expires_at,
        headers=headers or {},
    )


def from_envelope(envelope: Envelope) -> Job:
    """The job that an envelope carries.

    Raises:
        UnknownJob: no class is registered under its name.
        UnreadableMessage: its data does not fit the class's fields; says how.
    """
    job_class = registry.lookup(envelope.job)
    data = envelope.data
    reserved = [name for name in data if name.startswith("_")]
    if reserved:
        raise UnreadableMessage(f"data.{reserved[0]}: the name of a field cannot begin with _")
    job = _make(job_class, data)
    job.job_id = envelope.id
    job.attempts = envelope.attempt
    job.headers = envelope.headers
    return job


def _make(job_class: type[Job], data: dict[str, Any]) -> Job:
    convert = conversions(job_class)
    values = data
    if convert:
        values = {name: _convert(convert.get(name), name, value) for name, value in data.items()}
    if not takes_keywords(job_class):
        return _plain(job_class, values)
    try:
        return job_class(**values)
    except TypeError as error:
        raise UnreadableMessage(f"data does not fit: {error}") from None


def _convert(convert: Callable[[Any], Any] | None, name: str, value: Any) -> Any:  # noqa: ANN401
    if convert is None:
        return value
    try:
        return convert(value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UnreadableMessage(f"data.{name}={value!r}: {error}") from None


def _plain(job_class: type[Job], data: dict[str, Any]) -> Job:
    """The older way: made without arguments, attributes set afterwards."""
    job = job_class()
    for name, value in data.items():
        if callable(getattr(job_class, name, None)):
            raise UnreadableMessage(f"data.{name}: {job_class.__name__} has a method of that name")
        setattr(job, name, value)
    return job
