"""Jobs that run again and again: ``@every(minutes=5)``, ``@cron("0 3 * * *")``.

A tick is a moment at which a job is due. Ticks of an interval lie at whole multiples of it since
1970, UTC, so that every scheduler, at every start, comes to the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import count
from math import floor
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.job import Job, shape_of
from routeq_mqtt.jobs.keywords import name_of
from routeq_mqtt.jobs.registry import MadeOfFunction, job_class_of
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Missed = Literal["skip", "once", "all"]

_SHORTEST, _LONGEST = 1.0, 100 * 366 * 86_400.0
_LONGEST_NAME = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a job is due.

    Attributes:
        name: of the schedule.
        every: seconds between two ticks; or
        cron: an expression of five fields, or six with seconds in front, and
        timezone: in which it is meant.
        missed: what becomes of ticks at which no scheduler ran: "skip", "once" (the last one) or
            "all".

    Raises:
        ConfigurationError: it makes no sense; says why.
    """

    name: str
    every: float | None = None
    cron: str | None = None
    timezone: str = "UTC"
    missed: Missed = "once"

    def __post_init__(self) -> None:
        where = f"schedule {self.name}"
        name = self.name
        if not (isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.isprintable()):
            raise ConfigurationError(
                f"schedule: name={shown(name)} must be a printable text of 1 to {_LONGEST_NAME} "
                "characters"
            )
        if self.missed not in get_args(Missed):
            raise ConfigurationError(
                f"{where}: missed={shown(self.missed)} must be skip, once or all"
            )
        if (self.every is None) == (self.cron is None):
            raise ConfigurationError(f"{where}: say either every or cron")
        if self.every is not None and not _is_interval(self.every):
            raise ConfigurationError(
                f"{where}: every={shown(self.every)} must be 1 second to 100 years; "
                "write for example @every(minutes=5)"
            )
        if self.cron is not None:
            self._check_cron(where)

    def _check_cron(self, where: str) -> None:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError, TypeError):
            raise ConfigurationError(
                f"{where}: timezone={shown(self.timezone)} is unknown; write for example "
                "Europe/Berlin (where the system has no time zones: pip install tzdata)"
            ) from None
        try:
            self.after(0.0)
        except (CronSimError, StopIteration, AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"{where}: invalid cron expression cron={shown(self.cron)}: {error}; write for "
                'example "0 3 * * *"'
            ) from None

    def after(self, moment: float) -> float:
        """The first tick after a moment, UTC epoch seconds."""
        if self.every is not None:
            return (floor(moment / self.every) + 1) * self.every
        since = datetime.fromtimestamp(moment, ZoneInfo(self.timezone))
        return next(CronSim(str(self.cron), since)).timestamp()

    def before(self, moment: float) -> Iterator[float]:
        """The ticks at a moment and before it, the latest first, UTC epoch seconds."""
        if self.every is not None:
            yield from (number * self.every for number in count(floor(moment / self.every), -1))
        since = datetime.fromtimestamp(floor(moment) + 1, ZoneInfo(self.timezone))
        for tick in CronSim(str(self.cron), since, reverse=True):
            yield tick.timestamp()


def _is_interval(seconds: object) -> bool:
    return type(seconds) in {int, float} and _SHORTEST <= seconds <= _LONGEST  # type: ignore[operator]


_schedules: dict[str, tuple[Schedule, type[Job]]] = {}

_J = TypeVar("_J", bound="type[Job] | MadeOfFunction")


def every(
    *wrong: object,
    seconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    days: float = 0,
    missed: Missed = "once",
    name: str | None = None,
) -> Callable[[_J], _J]:
    """Run a job of this class at a fixed interval: ``@every(minutes=5)``.

    Runs are due at whole multiples of the interval since 1970, UTC.

    Args:
        *wrong: not allowed: name the unit.
        seconds: added to `minutes`, `hours` and `days`; in all, 1 second to 100 years.
        minutes: see `seconds`.
        hours: see `seconds`.
        days: see `seconds`.
        missed: what to do about runs that were due while no scheduler ran: "skip" them, run
            "once", or run "all"; default "once".
        name: name of the schedule; default: the job's wire name.

    Raises:
        ConfigurationError: when the class is defined: an argument is invalid, or another class has
            a schedule of this name.
    """
    if wrong:
        raise ConfigurationError(
            f"every: {shown(wrong[0])} of what? Write for example @every(minutes=5)"
        )
    parts = {"seconds": seconds, "minutes": minutes, "hours": hours, "days": days}
    for unit, number in parts.items():
        if type(number) not in {int, float}:
            raise ConfigurationError(f"every: {unit}={shown(number)} must be a number")
    interval = seconds + 60 * minutes + 3_600 * hours + 86_400 * days
    return lambda job_class: _add(job_class, name, {"every": interval, "missed": missed})


def cron(
    expression: str, *, timezone: str = "UTC", missed: Missed = "once", name: str | None = None
) -> Callable[[_J], _J]:
    """Run a job of this class at the times of a cron expression: ``@cron("0 3 * * *")``.

    Args:
        expression: five fields, or six with seconds in front.
        timezone: time zone of the expression, for example "Europe/Berlin"; default "UTC".
        missed: as for `every`.
        name: as for `every`.

    Raises:
        ConfigurationError: as `every`.
    """
    if not isinstance(expression, str):
        raise ConfigurationError(
            f"cron: {shown(expression)} is not a cron expression; "
            'write for example @cron("0 3 * * *")'
        )
    return lambda job_class: _add(
        job_class, name, {"cron": expression, "timezone": timezone, "missed": missed}
    )


def _add(decorated: _J, name: str | None, how: dict[str, Any]) -> _J:
    job_class = job_class_of(decorated)
    if not (isinstance(job_class, type) and issubclass(job_class, Job)):
        raise ConfigurationError(
            f"schedule: {shown(job_class)} is not a job class; put the decorator above a class of "
            "Job, or above @job"
        )
    needed = [field for field, spec in shape_of(job_class).fields.items() if spec.make is None]
    if needed:
        raise ConfigurationError(
            f"{job_class.__name__}: a schedule has no value for {', '.join(needed)}; "
            "give it a default"
        )
    schedule = Schedule(name=name_of(job_class) if name is None else name, **how)
    other = _schedules.get(schedule.name)
    if other is not None and other[1].__qualname__ != job_class.__qualname__:
        raise ConfigurationError(
            f"{job_class.__name__}: {other[1].__name__} has a schedule named {schedule.name!r}; "
            'give this one another name: name="…"'
        )
    if other is not None and other[1] is job_class:
        raise ConfigurationError(
            f"{job_class.__name__}: it has two schedules named {schedule.name!r}; "
            'give one of them another name: name="…"'
        )
    _schedules[schedule.name] = (schedule, job_class)
    return decorated


def schedules() -> dict[str, tuple[Schedule, type[Job]]]:
    """All schedules of this process, each with its job class."""
    return dict(_schedules)
