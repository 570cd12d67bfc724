"""A job's options, checked where they are written: in the class, or on one job."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from math import inf
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.backoff import Exponential
from routeq_mqtt.wire.checks import LATEST
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.names import check_chosen_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from routeq_mqtt.jobs.middleware import Middleware

OPTIONS = (
    "queue",
    "max_tries",
    "timeout",
    "retry_after",
    "backoff",
    "retry_until",
    "max_exceptions",
    "fail_on_timeout",
    "dont_retry_on",
    "result_ttl",
    "executor",
    "unique_for",
    "unique_until",
    "debounce_for",
    "throttle_for",
    "rate_limit",
    "concurrency_limit",
    "without_overlapping",
    "across_queues",
    "overrides",
    "name",
)
_WEEK = 7 * 86_400.0


Waits = float | list[float] | tuple[float, ...] | Exponential | None
"""What `backoff` may be."""


class OneJobOptions(TypedDict, total=False):
    """Options that one job may have of its own; see `Job` for what they say."""

    queue: str
    max_tries: int
    timeout: float | None
    retry_after: float
    backoff: float | list[float] | tuple[float, ...] | None
    retry_until: float | None
    max_exceptions: int | None
    fail_on_timeout: bool
    result_ttl: float


class JobOptions(TypedDict, total=False):
    """Options of a class or a function of jobs; see `Job` for what they say."""

    queue: str
    max_tries: int
    timeout: float | None
    retry_after: float
    backoff: float | list[float] | tuple[float, ...] | Exponential | None
    retry_until: float | None
    max_exceptions: int | None
    fail_on_timeout: bool
    dont_retry_on: tuple[type[Exception], ...]
    result_ttl: float
    executor: Literal["worker", "process"]
    unique_for: float | None
    unique_until: Literal["finished", "started"]
    debounce_for: float | None
    throttle_for: float | None
    rate_limit: tuple[float, float] | None
    concurrency_limit: int | None
    without_overlapping: bool
    across_queues: bool
    overrides: Overrides | None
    name: str
    middleware: Sequence[Middleware]


class ClassOptions(JobOptions, total=False):
    """What ``class X(Job, …)`` takes: the options, and `abstract`."""

    abstract: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Bounds of what a job may set for itself; what its class says is always allowed.

    A message that asks for more gets the bound. Set it in the class::

        class Report(Job):
            overrides = Overrides(max_tries=5)

    or ``overrides = None``: what a message says of all this is ignored.

    Attributes:
        max_tries: attempts; default 100.
        timeout: seconds that one attempt may take, also where the message asks for no limit;
            default one day.
        wait: seconds before an attempt, for `retry_after` and `backoff`; default 7 days.
        retry_until: seconds after its dispatch, for `retry_until`; default 7 days.
        result_ttl: seconds for which a result is kept; default 7 days.

    Raises:
        ConfigurationError: a bound is not a number above 0.
    """

    max_tries: int = 100
    timeout: float = 86_400.0
    wait: float = _WEEK
    retry_until: float = _WEEK
    result_ttl: float = _WEEK

    def __post_init__(self) -> None:
        for spec in fields(self):
            value = getattr(self, spec.name)
            whole = spec.name == "max_tries"
            if type(value) not in ({int} if whole else {int, float}) or not 0 < value < LATEST:
                needed = "a whole number, 1 or more" if whole else "a number of seconds above 0"
                raise ConfigurationError(f"Overrides: {spec.name}={shown(value)} must be {needed}")


EXECUTORS = ("worker", "process")
"""Where ``handle()`` runs: in the worker (a plain function in a thread), or in a process."""

_SIMILAR = 0.8
_LONGEST_NAME = 200

_OTHER_NAMES = {
    "tries": "max_tries",
    "retries": "max_tries",
    "max_retries": "max_tries",
    "max_attempts": "max_tries",
    "time_limit": "timeout",
    "time_out": "timeout",
    "queue_name": "queue",
    "job_name": "name",
    "task_name": "name",
    "retry_backoff": "backoff",
    "keep_result": "result_ttl",
    "result_expires": "result_ttl",
    "retry_delay": "retry_after",
}
"""What other job libraries call our options."""

_AT_DISPATCH = {
    "delay": "dispatch(job, delay=…)",
    "run_at": "dispatch(job, run_at=…)",
    "eta": "dispatch(job, run_at=…)",
    "countdown": "dispatch(job, delay=…)",
    "expires_at": "dispatch(job, expires_at=…)",
    "expires": "dispatch(job, expires_at=…)",
    "expires_in": "dispatch(job, expires_at=time.time() + …)",
    "priority": "worker --queue high,low: earlier queues come first",
}
"""What a class cannot say, and where it is said."""

_VALUES: dict[str, tuple[type, ...]] = {
    "queue": (str,),
    "name": (str,),
    "max_tries": (int,),
    "timeout": (int, float),
    "retry_after": (int, float),
    "backoff": (int, float, list, tuple, Exponential),
    "retry_until": (int, float),
    "max_exceptions": (int,),
    "fail_on_timeout": (bool,),
    "dont_retry_on": (tuple, type),
    "result_ttl": (int, float),
    "executor": (str,),
    "unique_for": (int, float),
    "unique_until": (str,),
    "debounce_for": (int, float),
    "throttle_for": (int, float),
    "rate_limit": (tuple,),
    "concurrency_limit": (int,),
    "without_overlapping": (bool,),
    "across_queues": (bool,),
    "overrides": (Overrides,),
}
"""What an option is set to: a constant of another type only happens to be called alike."""


def check_option(where: str, option: str, value: object) -> None:
    """Check the value of one option.

    Raises:
        ConfigurationError: names class, option, value and the fix.
    """
    if option == "queue":
        check_chosen_name(value, f"{where}: {option}")
        return
    fits, needed = _RULES[option]
    if not fits(value):
        raise ConfigurationError(f"{where}: {option}={shown(value)} must be {needed}")


def check_waits(where: str, said: Mapping[str, Any]) -> None:
    """Refuse two answers to how long a job waits before its next attempt, said in one place.

    Raises:
        ConfigurationError: there are two; names both.
    """
    if said.get("backoff") is not None and "retry_after" in said:
        raise ConfigurationError(
            f"{where}: backoff={shown(said['backoff'])} is instead of "
            f"retry_after={shown(said['retry_after'])}; keep one of them"
        )


def check_progress(where: str, done: object, total: object, note: object) -> None:
    """Check what a job says of its progress: it goes into its worker's status, with that of others.

    Raises:
        ConfigurationError: it cannot; says why.
    """
    if not _is_number(done):
        raise ConfigurationError(f"{where}.progress: done={shown(done)} must be a finite number")
    if total is not None and not _is_number(total):
        raise ConfigurationError(
            f"{where}.progress: total={shown(total)} must be a finite number, or None"
        )
    if not isinstance(note, str):
        raise ConfigurationError(f"{where}.progress: note={shown(note)} must be a text")


def check_spelling(where: str, constants: Iterable[tuple[str, object]]) -> None:
    """Find class attributes that were meant to be options.

    Args:
        where: the class.
        constants: names and values of what its body sets without an annotation.

    Raises:
        ConfigurationError: names class, attribute, value and the option it may mean.
    """
    for name, value in constants:
        if name in _AT_DISPATCH and type(value) in {int, float}:
            raise ConfigurationError(
                f"{where}: {name}={shown(value)} is not an option of a job class; say it "
                f"elsewhere: "
                f"{_AT_DISPATCH[name]} (an attribute of your own: annotate it as ClassVar)"
            )
        meant = _meant(name)
        if meant is not None and type(value) in _VALUES[meant]:
            raise ConfigurationError(
                f"{where}: {name}={shown(value)} is not an option of a job; did you mean {meant}? "
                "(an attribute of your own: annotate it as ClassVar)"
            )


def check_keywords(where: str, keywords: Iterable[str]) -> None:
    """Find class keywords that were meant to be options.

    Raises:
        ConfigurationError: names class, keyword and the option it may mean.
    """
    for name in keywords:
        if name in _AT_DISPATCH:
            raise ConfigurationError(
                f"{where}: {name}=… is not an option of a job; say it elsewhere: "
                f"{_AT_DISPATCH[name]}"
            )
        meant = _meant(name)
        if meant is not None:
            raise ConfigurationError(
                f"{where}: {name}=… is not an option of a job; did you mean {meant}?"
            )


def _meant(name: str) -> str | None:
    if name in OPTIONS or name.startswith("_") or name.isupper():
        return None
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    # "name" is too short and too common a word to guess at: `rename`, `fname`, `names`.
    close = difflib.get_close_matches(name, OPTIONS[:-1], n=1, cutoff=_SIMILAR)
    return close[0] if close else None


def _is_seconds(value: Any) -> bool:  # noqa: ANN401
    return type(value) in {int, float} and 0 <= value < LATEST


def _is_number(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int | float) and -inf < value < inf


def _is_tries(value: Any) -> bool:  # noqa: ANN401
    return type(value) is int and 1 <= value < 1 << 53


def _is_backoff(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, list | tuple):
        return 0 < len(value) <= 1_000 and all(map(_is_seconds, value))
    return value is None or isinstance(value, Exponential) or _is_seconds(value)


def _is_name(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()


def _are_errors(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, tuple) and all(
        isinstance(kind, type) and issubclass(kind, Exception) for kind in value
    )


def _is_rate(value: Any) -> bool:  # noqa: ANN401
    return value is None or (
        isinstance(value, tuple)
        and len(value) == 2
        and all(map(_is_seconds, value))
        and value[0] >= 1
        and 0 < value[1] < 1e9
    )


_SOME_SECONDS = (
    lambda value: value is None or (_is_seconds(value) and value > 0),
    "more than 0 seconds, or None",
)

_RULES = {
    "max_tries": (_is_tries, "a whole number, 1 or more"),
    "timeout": (
        lambda value: value is None or _is_seconds(value),
        "0 seconds or more; 0 or None for no limit",
    ),
    "retry_after": (_is_seconds, "0 seconds or more"),
    "backoff": (_is_backoff, "seconds, a list of 1 to 1000 of them, or Exponential(…)"),
    "retry_until": (
        lambda value: value is None or _is_seconds(value),
        "0 seconds or more after its dispatch, or None",
    ),
    "max_exceptions": (
        lambda value: value is None or _is_tries(value),
        "a whole number, 1 or more, or None",
    ),
    "fail_on_timeout": (lambda value: type(value) is bool, "True or False"),
    "dont_retry_on": (_are_errors, "a tuple of exception classes, for example (ValueError,)"),
    "result_ttl": (_is_seconds, "0 seconds or more; 0: what handle() returns is not kept"),
    "executor": (
        lambda value: isinstance(value, str) and value in EXECUTORS,
        f"one of {', '.join(map(repr, EXECUTORS))}",
    ),
    "unique_for": _SOME_SECONDS,
    "unique_until": (
        lambda value: value in ("finished", "started"),
        "'finished' or 'started'",
    ),
    "debounce_for": _SOME_SECONDS,
    "throttle_for": _SOME_SECONDS,
    "rate_limit": (_is_rate, "(jobs, seconds), for example (10, 60), or None"),
    "concurrency_limit": (
        lambda value: value is None or _is_tries(value),
        "a whole number, 1 or more, or None",
    ),
    "without_overlapping": (lambda value: type(value) is bool, "True or False"),
    "across_queues": (lambda value: type(value) is bool, "True or False"),
    "overrides": (
        lambda value: value is None or isinstance(value, Overrides),
        "Overrides(…), or None: what a message asks for is ignored",
    ),
    "name": (_is_name, f"a printable text of 1 to {_LONGEST_NAME} characters"),
}
