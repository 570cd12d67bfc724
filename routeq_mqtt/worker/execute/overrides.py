"""Keeps what a message asks for within what the class of its job allows."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from routeq_mqtt.jobs.keywords import options_of

if TYPE_CHECKING:
    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.jobs.options import Overrides
    from routeq_mqtt.wire.envelopes.envelope import Envelope

_Number = TypeVar("_Number", int, float)
_OPTIONS = frozenset({"retry_until", "max_exceptions", "fail_on_timeout", "result_ttl"})


def within(job_class: type[Job], envelope: Envelope, now: float, *, allowed: bool) -> Envelope:
    """The envelope, with what it asks for bounded.

    Args:
        job_class: of the job.
        envelope: as it came.
        now: UTC epoch seconds.
        allowed: whether messages may ask for anything on this worker.
    """
    if not _asks(envelope):
        return envelope
    job_class = options_of(job_class)
    most = job_class.overrides if allowed else None
    options = _options(job_class, envelope, most, now)
    if most is None:
        return envelope.evolve(
            max_tries=None, timeout=None, retry_after=None, backoff=None, options=options
        )
    return envelope.evolve(
        max_tries=_least(envelope.max_tries, max(job_class.max_tries, most.max_tries)),
        timeout=_timeout(job_class, envelope.timeout, most),
        retry_after=_least(envelope.retry_after, most.wait),
        backoff=_waits(envelope.backoff, most.wait),
        options=options,
    )


def _asks(envelope: Envelope) -> bool:
    own = (envelope.max_tries, envelope.timeout, envelope.retry_after, envelope.backoff)
    return own != (None, None, None, None) or (
        bool(envelope.options) and not _OPTIONS.isdisjoint(envelope.options)
    )


def _options(
    job_class: type[Job], envelope: Envelope, most: Overrides | None, now: float
) -> dict[str, Any]:
    options = envelope.options
    if most is None:
        options = {k: v for k, v in options.items() if k not in _OPTIONS or k == "retry_until"}
    elif "result_ttl" in options:
        ttl = min(options["result_ttl"], max(job_class.result_ttl, most.result_ttl))
        options = options | {"result_ttl": ttl}
    if "retry_until" not in options:
        return options
    bound = max(job_class.retry_until or 0.0, most.retry_until if most is not None else 0.0)
    if bound == 0.0:
        return {k: v for k, v in options.items() if k != "retry_until"}
    since = now if envelope.dispatched_at is None else min(now, envelope.dispatched_at)
    return options | {"retry_until": min(options["retry_until"], since + bound)}


def _timeout(job_class: type[Job], asked: float | None, most: Overrides) -> float | None:
    """0 asks for no limit, which only a class without one allows."""
    if asked is None or not job_class.timeout:
        return asked
    limit: float = max(job_class.timeout, most.timeout)
    return min(asked or inf, limit)


def _waits(asked: float | list[float] | None, most: float) -> float | list[float] | None:
    if isinstance(asked, list):
        return [min(wait, most) for wait in asked]
    return _least(asked, most)


def _least(asked: _Number | None, most: _Number) -> _Number | None:
    return None if asked is None else min(asked, most)
