"""Arguments of calls to a bus, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.wire.checks import LATEST
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from routeq_mqtt.outbox.options import Confirm


class DispatchOptions(TypedDict, total=False):
    """Options of one dispatch; all are optional. See `Bus.dispatch`.

    Attributes:
        queue: default: the queue of its class.
        to: the device that runs it: the `--name` of a worker.
        delay: seconds until it runs.
        run_at: when it runs: a datetime (naive: local time) or UTC epoch seconds.
        expires_at: after this time it becomes a failed record: a datetime or UTC epoch seconds.
        headers: a map that travels with the job.
        result_ttl: seconds for which the return value is kept; default: that of its class.
        confirm: "broker" (default): the broker has it. "stored": the scheduler has it on disk.
        timeout: seconds that the dispatch may take; default: that of the settings, 10.
    """

    queue: str | None
    to: str | None
    delay: float | None
    run_at: datetime | float | None
    expires_at: datetime | float | None
    headers: Mapping[str, Any] | None
    result_ttl: float | None
    confirm: Confirm | None
    timeout: float | None


_CONFIRMS = ("broker", "stored")
_LONGEST_NAME = 200


def check_delay(
    delay: float | None, run_at: datetime | float | None = None, *, now: float = 0.0
) -> None:
    """Refuse a delay that makes no sense.

    Args:
        delay: seconds.
        run_at: the other way to say it.
        now: UTC epoch seconds, from which the delay counts.

    Raises:
        ConfigurationError: it is not a number of seconds, or there is a `run_at`, too.
    """
    is_number = isinstance(delay, int | float) and not isinstance(delay, bool)
    if delay is not None and not (is_number and 0 <= delay < LATEST - now):
        raise ConfigurationError(
            f"dispatch: delay={delay!r} must be 0 seconds or more, and end before the year 10000"
        )
    if delay is not None and run_at is not None:
        raise ConfigurationError("dispatch: give either delay or run_at, not both")


def epoch(name: str, when: datetime | float | None) -> float | None:
    """A moment as UTC epoch seconds; a naive datetime is local time.

    Raises:
        ConfigurationError: it is invalid.
    """
    if when is None:
        return None
    seconds: Any = when
    if isinstance(when, datetime):
        try:
            seconds = when.timestamp()
        except (ValueError, OverflowError, OSError):  # pandas' NaT, the edges of the calendar
            seconds = None
    if not (type(seconds) in {int, float} and -LATEST < seconds < LATEST):
        raise ConfigurationError(
            f"dispatch: {name}={shown(when)} must be a datetime or UTC epoch seconds"
        )
    moment: float = seconds
    return moment


def checked_headers(headers: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Headers as a map of their own; what is in it is looked at when it is packed.

    Raises:
        ConfigurationError: they are none.
    """
    if not headers:
        return None
    if not isinstance(headers, Mapping) or not all(isinstance(name, str) for name in headers):
        raise ConfigurationError(
            f"dispatch: headers={shown(headers)} must be a map whose keys are texts"
        )
    return dict(headers)


def check_named(name: object, data: object) -> None:
    """Refuse a job's wire name and data that no reader could decode.

    Raises:
        ConfigurationError: the name is not text, or the data are no map.
    """
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(
            f"dispatch: the job's name {shown(name)} must be a printable text of 1 to "
            f"{_LONGEST_NAME} characters"
        )
    if not isinstance(data, Mapping) or not all(isinstance(field, str) for field in data):
        raise ConfigurationError(
            f"dispatch: data={shown(data)} of {name} must be a map whose keys are texts"
        )


def check_confirm(confirm: object) -> None:
    """Refuse a word that says nothing.

    Raises:
        ConfigurationError: it is neither "broker" nor "stored".
    """
    if confirm is not None and confirm not in _CONFIRMS:
        raise ConfigurationError(f"dispatch: confirm={shown(confirm)} must be 'broker' or 'stored'")


def check_timeout(timeout: object, where: str) -> None:
    """Refuse what is not a time to wait.

    Raises:
        ConfigurationError: it is not a number of seconds, or below 0.
    """
    if timeout is not None and not (isinstance(timeout, int | float) and timeout >= 0):
        raise ConfigurationError(f"{where}: timeout={shown(timeout)} must be 0 seconds or more")


def check_job_id(job_id: object, where: str) -> str:
    """A job's id; refuse what can be none.

    Raises:
        ConfigurationError: it is not text, or empty.
    """
    if not isinstance(job_id, str) or not job_id:
        raise ConfigurationError(
            f"{where}: job_id={shown(job_id)} must be the id that dispatch gave, a text"
        )
    return job_id
