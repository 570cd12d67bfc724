"""A job class's options, checked when the class is defined."""

from __future__ import annotations

import difflib
from typing import Any

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.job.backoff import Exponential
from routeq_mqtt.wire.names import check_queue_name

OPTIONS = ("queue", "max_tries", "timeout", "retry_after", "backoff", "name")
_SIMILAR = 0.75
_LONGEST_NAME = 200


def check_options(job_class: type, body: dict[str, Any]) -> None:
    """Check what a class body sets.

    Raises:
        ConfigurationError: names class, option, value and the mend.
    """
    where = job_class.__name__
    for option, check in _CHECKS.items():
        if option in body:
            check(where, option, body[option])
    for name, value in body.items():
        if isinstance(value, int | float | list) and not isinstance(value, bool):
            _check_spelling(where, name, value)


def _check_spelling(where: str, name: str, value: object) -> None:
    if name in OPTIONS or name.startswith("_"):
        return
    known = {option: option for option in OPTIONS} | _OTHER_NAMES
    close = difflib.get_close_matches(name, known, n=1, cutoff=_SIMILAR)
    if close:
        raise ConfigurationError(
            f"{where}: {name}={value!r} is no option of a job; did you mean {known[close[0]]}? "
            "(annotate it if it is a field)"
        )


_OTHER_NAMES = {
    "tries": "max_tries",
    "max_retries": "max_tries",
    "time_limit": "timeout",
    "retry_backoff": "backoff",
    "retry_delay": "retry_after",
}


def _queue(where: str, option: str, value: Any) -> None:  # noqa: ANN401
    check_queue_name(value, f"{where}: {option}")


def _whole(where: str, option: str, value: Any) -> None:  # noqa: ANN401
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"{where}: {option}={value!r} must be a whole number, 1 or more")


def _timeout(where: str, option: str, value: Any) -> None:  # noqa: ANN401
    if value is not None and not (_is_seconds(value) and value > 0):
        raise ConfigurationError(
            f"{where}: {option}={value!r} must be seconds, more than 0, or None for no limit"
        )


def _wait(where: str, option: str, value: Any) -> None:  # noqa: ANN401
    if not _is_seconds(value):
        raise ConfigurationError(f"{where}: {option}={value!r} must be 0 seconds or more")


def _backoff(where: str, option: str, value: Any) -> None:  # noqa: ANN401
    if value is None or isinstance(value, Exponential) or _is_seconds(value):
        return
    if isinstance(value, list | tuple) and value and all(map(_is_seconds, value)):
        return
    raise ConfigurationError(
        f"{where}: {option}={value!r} must be seconds, a list of seconds or Exponential(…)"
    )


def _name(where: str, option: str, value: Any) -> None:  # noqa: ANN401
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME:
        raise ConfigurationError(
            f"{where}: {option}={value!r} must be a text of 1 to {_LONGEST_NAME} characters"
        )


def _is_seconds(value: object) -> bool:
    return type(value) in {int, float} and 0 <= value < float("inf")  # type: ignore[operator]


_CHECKS = {
    "queue": _queue,
    "max_tries": _whole,
    "timeout": _timeout,
    "retry_after": _wait,
    "backoff": _backoff,
    "name": _name,
}
