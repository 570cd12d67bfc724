"""What the scheduler must decide before a job may run: written into its envelope's `options`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.wire.packing import pack
from routeq_mqtt.wire.shown import shown

if TYPE_CHECKING:
    from routeq_mqtt.job.job import Job

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
    chosen = [option for option in ONE_OF if getattr(job_class, option) is not None]
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
    if job_class.unique_until != "finished" and job_class.unique_for is None and not is_base:
        raise ConfigurationError(
            f"{job_class.__name__}: unique_until={shown(job_class.unique_until)} does nothing "
            "without unique_for; set that, too, in seconds"
        )
    if job_class.without_overlapping and job_class.concurrency_limit not in (None, 1):
        raise ConfigurationError(
            f"{job_class.__name__}: without_overlapping=True is concurrency_limit=1, and it says "
            f"concurrency_limit={job_class.concurrency_limit}; keep one of them"
        )
    limited = job_class.rate_limit or job_class.concurrency_limit or job_class.without_overlapping
    return bool(chosen or limited)


def plan(job: Job) -> dict[str, Any]:
    """The options of a job whose class needs a plan.

    Raises:
        ConfigurationError: a method gives what cannot be a key.
    """
    options: dict[str, Any] = {}
    for option in ONE_OF:
        seconds = getattr(job, option)
        if seconds is not None:
            options[option] = seconds
            options["unique_key"] = _key(job, "unique_key", job.unique_key())
    if job.unique_for is not None and job.unique_until != "finished":
        options["unique_until"] = job.unique_until
    limits = _limits(job)
    if limits:
        options["limits"] = limits
    return options


def _limits(job: Job) -> list[dict[str, Any]]:
    limits: list[dict[str, Any]] = []
    if job.rate_limit is not None:
        limits.append({"key": _key(job, "rate_key", job.rate_key()), "rate": list(job.rate_limit)})
    slots = 1 if job.without_overlapping else job.concurrency_limit
    if slots is not None:
        key = _key(job, "concurrency_key", job.concurrency_key())
        limits.append({"key": key, "slots": slots})
    return limits


def default_key(job: Job) -> str:
    """The same for jobs with the same data."""
    data = pack(sorted(job.data().items()))
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _key(job: Job, method: str, key: object) -> str:
    text = str(key) if isinstance(key, str | int) else ""
    if not 0 < len(text) <= _LONGEST_KEY or not text.isprintable():
        raise ConfigurationError(
            f"{type(job).__name__}.{method}() gives {shown(key)}; it must be a number or a "
            f"printable text of 1 to {_LONGEST_KEY} characters"
        )
    return text
