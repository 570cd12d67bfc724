"""A job becomes an envelope, an envelope becomes a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.jobs import registry
from routeq_mqtt.jobs.admission_options import plan
from routeq_mqtt.jobs.context import carried
from routeq_mqtt.jobs.fields import misfit
from routeq_mqtt.jobs.job import Job, is_planned, no_job, shape_of
from routeq_mqtt.jobs.keywords import CHOSEN, check_own, name_of, options_of
from routeq_mqtt.jobs.options import check_waits
from routeq_mqtt.jobs.schema import data_misfit, encoded_data
from routeq_mqtt.jobs.types.codec import WrongType
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.packing import pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_mqtt.jobs.types.codec import Decode


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
        TypeError: it is not a job.
        ConfigurationError: an option that was set on this one job is wrong.
    """
    if not isinstance(job, Job):
        raise TypeError(no_job(job))
    own = _own_options(job)
    job.job_id = new_id()
    return Envelope(
        id=job.job_id,
        job=name_of(type(job)),
        data=encoded_data(job),
        queue=queue or own.get("queue") or options_of(type(job)).queue,
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
    kind = type(job)
    if (
        not isinstance(job, Job)
        or kind._job_kept
        or not kind._job_own.isdisjoint(vars(job))
        or kind.retry_until is not None
        or kind._planned
        or carried()
    ):
        envelope = to_envelope(job, now=now, queue=queue)
        return str(envelope.id), str(envelope.queue), envelope.encode()
    job.job_id = job_id = new_id()
    name = queue or kind.queue
    fields = {"job": kind.name, "id": job_id, "queue": name, "dispatched_at": now}
    data = encoded_data(job)
    if data:
        fields["data"] = data
    return job_id, name, pack(fields)


def _own_options(job: Job) -> dict[str, Any]:
    """Options that were set on this one job: they travel, and beat the class's."""
    names = type(job)._job_own
    if names.isdisjoint(vars(job)):
        return _NONE
    own = {option: value for option, value in vars(job).items() if option in names}
    own.update(own.pop(CHOSEN, {}))
    where = type(job).__name__
    for option, value in own.items():
        check_own(where, option, value)
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
    seconds = own.get("retry_until", options_of(type(job)).retry_until)
    if seconds is not None:
        options["retry_until"] = now + seconds
    return options


_NONE: dict[str, Any] = {}
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
    decoders = shape.decoders
    values = data
    if decoders:
        values = {name: _convert(decoders.get(name), name, part) for name, part in data.items()}
    if not shape.by_keyword:
        return _plain(job_class, values)
    try:
        return job_class(**values)
    except TypeError:
        wrong = misfit(shape.fields, values)
        if wrong is None:
            raise
        raise UnreadableMessage(f"data does not fit: {job_class.__name__} {wrong}") from None


def _convert(convert: Decode | None, name: str, value: Any) -> Any:  # noqa: ANN401
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


def encoded_result(job: Job, value: Any) -> Any:  # noqa: ANN401 - what `handle` returned
    """What travels of a result; one that is not what `handle` is annotated with, as it is."""
    encode = job._shape.result.encode
    if encode is None:
        return value
    try:
        return encode(value, "result")
    except WrongType:
        return value


def decoded_result(job_class: type[Job], value: Any) -> Any:  # noqa: ANN401 - what has travelled
    """A result as `handle` of a class returned it, as far as that is annotated.

    Raises:
        UnreadableMessage: it is no such value.
    """
    decode = job_class._shape.result.decode
    if decode is None:
        return value
    try:
        return decode(value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UnreadableMessage(
            f"the result of {name_of(job_class)} does not fit its annotation: {error}"
        ) from None
