"""Every error that this library raises, on one screen.

    RouteqError
    ├── ConfigurationError      a setting, an option or a class is wrong
    │   ├── DuplicateJobName    two job classes claim one wire name
    │   └── StaleDatabase       a scheduler's database is an older copy of the one in use
    ├── PackingError            a value in a job's data cannot be sent
    │   └── PayloadTooLarge     the envelope is larger than the limit
    ├── UnreadableMessage       bytes that are not an envelope; kept as a failed record
    │   ├── UnsupportedVersion  an envelope of a later format version
    │   └── RefusedJob          a wrong or missing signature, or an unknown encryption key
    ├── UnknownJob              no class is registered under this name
    ├── ConnectionFailed        the broker could not be reached, or refused the connection
    │   └── ConnectionLost      the connection ended before the answer arrived
    ├── NoConsumer              no worker, scheduler or embedded broker would keep the job
    ├── PublishRefused          the broker refused the message: access control, size or quota
    ├── NoScheduler             the request needs a scheduler, and none answers
    ├── SchedulerRunning        a second scheduler was started on one bus
    ├── TaskEnded               a background task of a worker or scheduler ended by itself
    ├── OutboxFull              the outbox has reached its limit; nothing was kept
    ├── OutboxUnavailable       the outbox's file cannot be written or read now; nothing was kept
    ├── JobProcessDied          the process that ran a job ended before the job did
    ├── DispatchTimeout         the broker did not acknowledge in time; the job may or may not run
    ├── RequestFailed           the scheduler answered a request with an error
    └── NoResult                a job is done, but its result was not stored
        ├── JobFailed           it became a failed record
        ├── JobCancelled        it was cancelled
        └── ResultTimeout       it has not ended in time

    JobControl                  raised by a job to control its outcome (not an error)
    ├── Retry                   run the job again later
    ├── Release                 the same, and this attempt does not count
    └── Fail                    record the job as failed, without further attempts

A job that exceeds its `timeout` ends with the built-in ``TimeoutError``.
"""

from __future__ import annotations


class RouteqError(Exception):
    """Base of every error of routeq-mqtt."""


class ConfigurationError(RouteqError):
    """A setting, an option or a job class is wrong; names it, its value and the fix."""


class DuplicateJobName(ConfigurationError):
    """Two job classes claim one wire name."""


class StaleDatabase(ConfigurationError):
    """A scheduler's database is an older copy of the one that the bus has seen; says of which."""


class PackingError(RouteqError):
    """A value in a job's data cannot be sent; names the attribute."""


class PayloadTooLarge(PackingError):
    """The packed envelope is larger than the limit (`max_payload`, bytes)."""


class UnreadableMessage(RouteqError):
    """The bytes are not an envelope. The reader keeps such a message as a failed record."""


class UnsupportedVersion(UnreadableMessage):
    """The envelope is of a later format version than this library knows."""


class RefusedJob(UnreadableMessage):
    """A job that must not run here: unsigned, forged, too old, or sealed with an unknown key."""


class UnknownJob(RouteqError):
    """No job class is registered under this name in this process."""


class ConnectionFailed(RouteqError):
    """The broker could not be reached, or it refused the connection."""


class ConnectionLost(ConnectionFailed):
    """The connection ended before the answer arrived; the message may have been received."""


class NoConsumer(RouteqError):
    """No worker, scheduler or embedded broker is connected to keep the job: nothing was sent."""


class PublishRefused(RouteqError):
    """The broker refused the message: access control, size or quota. It did not take it.

    Args:
        message: what was refused.
        reason: the PUBACK's reason code (MQTT 5, 3.4.2.1); 0: it ended the connection instead.
    """

    def __init__(self, message: str, reason: int = 0) -> None:
        super().__init__(message)
        self.reason = reason


class NoScheduler(RouteqError):
    """The request needs a scheduler, and none has run on this bus or none answers."""


class SchedulerRunning(RouteqError):
    """A second scheduler was started on one bus; says where the first one runs."""


class TaskEnded(RouteqError):
    """A background task ended that should have kept running; the process must start again."""


class OutboxFull(RouteqError):
    """The outbox has reached `max_jobs` or `max_bytes`; the job was not kept."""


class OutboxUnavailable(RouteqError):
    """The outbox's file cannot be written or read: disk full, read-only or damaged."""


class JobProcessDied(RouteqError):
    """The process that ran a job (``executor = "process"``) ended before the job did; says how."""


class DispatchTimeout(RouteqError, TimeoutError):
    """The broker did not acknowledge in time; the job may or may not run."""


class RequestFailed(RouteqError):
    """The scheduler answered a request with an error."""


class NoResult(RouteqError):
    """A job is done, but its result was not stored: set `result_ttl`."""


class JobFailed(NoResult):
    """The job became a failed record; says why."""


class JobCancelled(NoResult):
    """The job was cancelled."""


class ResultTimeout(NoResult, TimeoutError):
    """The job has not ended in time; ask again later."""


class JobControl(BaseException):
    """Base of what a job raises to steer its own fate.

    A `BaseException`, as `asyncio.CancelledError` is: an ``except Exception`` in a job, in a
    middleware or in a library that they call must not swallow it.
    """


LONGEST_DELAY = 1_000 * 365.25 * 86_400
"""Seconds. A moment past the year 9999 could not be read by the scheduler."""


def _check_delay(who: str, delay: object) -> None:
    if (
        not isinstance(delay, int | float)
        or isinstance(delay, bool)
        or not 0 <= delay <= LONGEST_DELAY
    ):
        raise ConfigurationError(
            f"{who}: delay={delay!r} must be 0 seconds or more, {LONGEST_DELAY:.0f} (1,000 years) "
            "at most"
        )


class Retry(JobControl):
    """Run this job again later: ``raise Retry(delay=30)``.

    It counts as an attempt, like an error; past `max_tries` the job fails.

    Args:
        reason: kept with the attempt; default "asked for a retry".
        delay: seconds until the next attempt; default: what the class's backoff says.
    """

    def __init__(self, reason: str = "asked for a retry", *, delay: float | None = None) -> None:
        if delay is not None:
            _check_delay("Retry", delay)
        super().__init__(reason)
        self.delay = delay


class Release(JobControl):
    """Run this job again later, and do not count this run: ``raise Release(30)``.

    For a job that could not even begin: what it needs is locked, or not there yet.

    Args:
        delay: seconds until it runs again; default 0.
        reason: for the log; default "released".
    """

    def __init__(self, delay: float = 0.0, reason: str = "released") -> None:
        _check_delay("Release", delay)
        super().__init__(reason)
        self.delay = delay


class Fail(JobControl):
    """Record this job as failed now, without another try: ``raise Fail("no such customer")``."""

    def __init__(self, reason: str = "failed on purpose") -> None:
        super().__init__(reason)
