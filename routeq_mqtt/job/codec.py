"""A job becomes an envelope, an envelope becomes a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.job import registry
from routeq_mqtt.job.backoff import Exponential
from routeq_mqtt.job.context import carried
from routeq_mqtt.job.fields import misfit
from routeq_mqtt.job.job import Job, is_planned, shape_of
from routeq_mqtt.job.options import OPTIONS, check_option, check_waits
from routeq_mqtt.job.plan import plan
from routeq_mqtt.job.shape import data_misfit
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.packing import pack
from routeq_mqtt.wire.shown import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_mqtt.job.conversions import Convert


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
        headers: travel along, with what the present context gives; see `job.context`.

    Raises:
        TypeError: it is no job.
        ConfigurationError: an option that was set on this one job is wrong.
    """
    if not isinstance(job, Job):
        raise TypeError(f"{job!r} is no job; pass an instance of a subclass of Job")
    own = _own_options(job)
    job.job_id = new_id()
    return Envelope(
        id=job.job_id,
        job=type(job).name,
        data=job.data(),
        queue=queue or job.queue,
        **{option: own[option] for option in _FIELDS & own.keys()},
        delay=delay,
        dispatched_at=now,
        run_at=run_at,
        expires_at=expires_at,
        options=_travelling(job, own, now),
        headers={**carried(), **(headers or {})},
    )


def pack_job(job: Job, *, now: float, queue: str | None = None) -> tuple[str, str, bytes]:
    """Id, queue and encoded envelope of a job that is sent now; as `to_envelope`, but leaner.

    Raises:
        TypeError, ConfigurationError: as `to_envelope`.
        PackingError: an attribute cannot travel.
    """
    if (
        not isinstance(job, Job)
        or not _OPTIONS.isdisjoint(vars(job))
        or job.retry_until is not None
        or is_planned(type(job))
        or carried()
    ):
        envelope = to_envelope(job, now=now, queue=queue)
        return str(envelope.id), str(envelope.queue), envelope.encode()
    job.job_id = job_id = new_id()
    name = queue or job.queue
    fields = {"job": type(job).name, "id": job_id, "queue": name, "dispatched_at": now}
    data = job.data()
    if data:
        fields["data"] = data
    return job_id, name, pack(fields)


def _own_options(job: Job) -> dict[str, Any]:
    """Options that were set on this one job: they travel, and beat the class's."""
    if _OPTIONS.isdisjoint(vars(job)):
        return _NONE
    own = {option: value for option, value in vars(job).items() if option in _OPTIONS}
    where = type(job).__name__
    for option, value in own.items():
        if option in _OF_THE_CLASS or isinstance(value, Exponential):
            raise ConfigurationError(
                f"{where}: {option}={shown(value)} cannot be set on one job; set it in the class"
            )
        check_option(where, option, value)
    check_waits(where, own)
    if own.get("timeout", 0) is None:
        own["timeout"] = 0
    if isinstance(own.get("backoff"), tuple):
        own["backoff"] = list(own["backoff"])
    return own


def _travelling(job: Job, own: Mapping[str, Any], now: float) -> dict[str, Any]:
    """What goes into the map `options`; most jobs have nothing there."""
    options = {option: own[option] for option in _SET_ON_ONE_JOB if option in own} if own else {}
    if is_planned(type(job)):
        options |= plan(job)
    if job.retry_until is not None:
        options["retry_until"] = now + job.retry_until
    return options


_NONE: dict[str, Any] = {}
_OPTIONS = frozenset(OPTIONS)
_OF_THE_CLASS = frozenset(
    {"name", "dont_retry_on", "unique_for", "unique_until", "debounce_for", "throttle_for"}
    | {"rate_limit", "concurrency_limit", "without_overlapping"}
)
_FIELDS = frozenset({"max_tries", "timeout", "retry_after", "backoff"})
"""Options with a field of their own in the envelope."""

_SET_ON_ONE_JOB = frozenset({"max_exceptions", "fail_on_timeout", "result_ttl"})
"""Those of the others that may be set on one job."""


def from_envelope(envelope: Envelope) -> Job:
    """The job that an envelope carries.

    Raises:
        UnknownJob: no class is registered under its name.
        UnreadableMessage: its data does not fit the class's fields; says how.
    """
    job = _make(registry.lookup(envelope.job), envelope.data)
    job.job_id = envelope.id
    job.attempts = envelope.attempt
    job.headers = envelope.headers
    if envelope.options:
        job.batch_id = envelope.options.get("batch")
    return job


def _make(job_class: type[Job], data: Mapping[str, Any]) -> Job:
    shape = shape_of(job_class)
    converters = shape.converters
    values = data
    if converters:
        values = {name: _convert(converters.get(name), name, part) for name, part in data.items()}
    if not shape.by_keyword:
        return _plain(job_class, values)
    try:
        return job_class(**values)
    except TypeError:
        wrong = misfit(shape.fields, values)
        if wrong is None:
            raise
        raise UnreadableMessage(f"data does not fit: {job_class.__name__} {wrong}") from None


def _convert(convert: Convert | None, name: str, value: Any) -> Any:  # noqa: ANN401
    if convert is None:
        return value
    try:
        return convert(value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UnreadableMessage(f"data.{name}={shown(value)}: {error}") from None


def _plain(job_class: type[Job], data: Mapping[str, Any]) -> Job:
    """The older way: made without arguments, attributes set afterwards."""
    job = job_class()
    for name, value in data.items():
        wrong = data_misfit(job_class, name)
        if wrong is not None:
            raise UnreadableMessage(wrong)
        setattr(job, name, value)
    return job
