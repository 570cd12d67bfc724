"""What a test says to a fake bus: a slip there must not let a test pass."""

from __future__ import annotations

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.job import Job
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.wire.checks import LATEST
from routeq_mqtt.wire.display import shown


def check_fake(*, run: object, settings: object) -> None:
    """Check what a fake bus is made with.

    Raises:
        ConfigurationError: it makes no sense; so do all of this module.
    """
    if type(run) is not bool:
        raise ConfigurationError(f"fake: run={shown(run)} must be True or False")
    if settings is not None and not isinstance(settings, Settings):
        raise ConfigurationError(
            f"fake: settings={shown(settings)} must be Settings(…), for example "
            "Settings(max_payload=1000)"
        )


def check_wanted(job: object, where: object, queue: object, delay: object) -> None:
    """Check what a test looks for among the dispatched jobs."""
    if not (isinstance(job, type) and issubclass(job, Job)):
        fix = f": {type(job).__name__}" if isinstance(job, Job) else ""
        raise ConfigurationError(f"assert: {shown(job)} must be a job class, not in quotes{fix}")
    if where is not None and not callable(where):
        raise ConfigurationError(
            f"assert: where={shown(where)} must be a function of a job: "
            'lambda job: job.to == "a@b.c"'
        )
    if queue is not None and not isinstance(queue, str):
        raise ConfigurationError(f"assert: queue={shown(queue)} must be the name of a queue")
    if isinstance(delay, str | bytes | bool):
        raise ConfigurationError(f"assert: delay={shown(delay)} must be seconds")


def check_times(times: object) -> None:
    """Check how often a job is said to have been dispatched."""
    if times is not None and not (type(times) is int and times >= 0):
        raise ConfigurationError(f"assert: times={shown(times)} must be a whole number, 0 or more")


def check_seconds(where: str, seconds: object) -> None:
    """Check how far a test travels."""
    if type(seconds) not in {int, float} or not seconds >= 0:  # type: ignore[operator]
        raise ConfigurationError(
            f"{where}: {shown(seconds)} must be 0 seconds or more (of a timedelta: "
            ".total_seconds())"
        )


def check_moment(where: str, said: object, moment: object) -> None:
    """Check where a travel ends, UTC epoch seconds."""
    if type(moment) not in {int, float} or not -LATEST < moment < LATEST:  # type: ignore[operator]
        raise ConfigurationError(
            f"{where}: {shown(said)} must lead to a moment before the year 10000: a datetime, or "
            "UTC epoch seconds"
        )
