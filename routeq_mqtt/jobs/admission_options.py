"""What the scheduler must decide before a job may run: written into its envelope's `options`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.keywords import options_of
from routeq_mqtt.jobs.schema import encoded_data
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.packing import pack

if TYPE_CHECKING:
    from routeq_mqtt.jobs.job import Job

ONE_OF = ("unique_for", "debounce_for", "throttle_for")
"""Options that say what becomes of a job that is there already: at most one of them."""

KEYS = ("unique_key", "rate_key", "concurrency_key")
"""Methods that say what jobs have in common."""

_LONGEST_KEY = 200


def needs_plan(job_class: type[Job]) -> bool:
    """Whether jobs of a class are admitted by the scheduler.

    Raises:
        ConfigurationError: options of the class exclude one another.
    """
    said = options_of(job_class)
    chosen = [option for option in ONE_OF if getattr(said, option) is not None]
    if len(chosen) > 1:
        raise ConfigurationError(
            f"{job_class.__name__}: {' and '.join(chosen)} exclude one another; keep one of them"
        )
    for method in KEYS:
        if not callable(getattr(job_class, method)):
            raise ConfigurationError(
                f"{job_class.__name__}: {method}={shown(getattr(job_class, method))} must be a "
                f"method: def {method}(self): return …"
            )
    is_base = vars(job_class).get("abstract", False)
    if said.unique_until != "finished" and said.unique_for is None and not is_base:
        raise ConfigurationError(
            f"{job_class.__name__}: unique_until={shown(said.unique_until)} does nothing "
            "without unique_for; set that, too, in seconds"
        )
    if said.without_overlapping and said.concurrency_limit not in (None, 1):
        raise ConfigurationError(
            f"{job_class.__name__}: without_overlapping=True is concurrency_limit=1, and it says "
            f"concurrency_limit={said.concurrency_limit}; keep one of them"
        )
    limited = said.rate_limit or said.concurrency_limit or said.without_overlapping
    return bool(chosen or limited)


def plan(job: Job) -> dict[str, Any]:
    """The options of a job whose class needs a plan.

    Raises:
        ConfigurationError: a method gives what cannot be a key.
    """
    options: dict[str, Any] = {}
    said = options_of(type(job))
    for option in ONE_OF:
        seconds = getattr(said, option)
        if seconds is not None:
            options[option] = seconds
            options["unique_key"] = _key(job, "unique_key", job.unique_key())
    if said.unique_for is not None and said.unique_until != "finished":
        options["unique_until"] = said.unique_until
    limits = _limits(job)
    if limits:
        options["limits"] = limits
    if said.across_queues and options:
        options["across_queues"] = True
    return options


def _limits(job: Job) -> list[dict[str, Any]]:
    limits: list[dict[str, Any]] = []
    said = options_of(type(job))
    if said.rate_limit is not None:
        limits.append({"key": _key(job, "rate_key", job.rate_key()), "rate": list(said.rate_limit)})
    slots = 1 if said.without_overlapping else said.concurrency_limit
    if slots is not None:
        key = _key(job, "concurrency_key", job.concurrency_key())
        limits.append({"key": key, "slots": slots})
    return limits


def default_key(job: Job) -> str:
    """The same for jobs with the same data, whatever the order of their maps and sets."""
    data = pack([(name, _in_order(value)) for name, value in sorted(encoded_data(job).items())])
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _in_order(value: object) -> object:
    """A value whose packed form does not depend on insertion or on the seed of hashes."""
    if isinstance(value, Mapping):
        parts = ((pack(_in_order(key)), pack(_in_order(part))) for key, part in value.items())
        return ["map", *sorted(parts)]
    if isinstance(value, set | frozenset):
        return ["set", *sorted(pack(_in_order(part)) for part in value)]
    if isinstance(value, list | tuple):
        parts_in_order = [_in_order(part) for part in value]
        return parts_in_order if isinstance(value, list) else tuple(parts_in_order)
    return value


def _key(job: Job, method: str, key: object) -> str:
    text = str(key) if isinstance(key, str | int) else ""
    if not 0 < len(text) <= _LONGEST_KEY or not text.isprintable():
        raise ConfigurationError(
            f"{type(job).__name__}.{method}() gives {shown(key)}; it must be a number or a "
            f"printable text of 1 to {_LONGEST_KEY} characters"
        )
    return text
