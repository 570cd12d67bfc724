"""The options of a worker, checked where they are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.security.guard import OPEN, Guard
from routeq_mqtt.wire.names import check_chosen_name, device_queue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_mqtt.wire.messages.trigger import Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The options of a worker. Times are seconds.

    Attributes:
        queues: highest priority first: a waiting job of an earlier queue starts before one of a
            later queue; default ``("default",)``.
        concurrency: jobs that run at the same time; default 10.
        threads: plain functions that run at the same time; default: `concurrency`.
        max_memory: shut down gracefully above this much resident memory, MB of 10^6 bytes; default
            None: no limit.
        prefetch: jobs of each queue held beyond the running ones; default: `concurrency`, and up to
            256 while jobs are so short that all slots run them in 20 ms.
        max_jobs: shut down after this many jobs; default None: no limit.
        max_time: shut down after this many seconds; default None: no limit.
        timeout, max_tries: for job classes that set none; default: 60 seconds, 3 attempts.
        overrides: whether a message may set `max_tries`, `timeout`, `retry_after` and the like,
            within what the class of its job allows; default True.
        max_deliveries: how many workers a job may crash before it fails for good; default 5.
        stop_when_empty: shut down when no job is waiting; default False.
        shutdown_timeout: seconds that running jobs get to finish on shutdown; default 30.
        cancel_timeout: seconds that a coroutine gets to end after a timeout or an order to cancel;
            then its job ends without it, and its slot is replaced; default 10.
        name: a stable name, part of the worker's id; jobs can be dispatched to it. Default None.
        tags: properties of the device that broadcasts select by; only with a name. Default: none.
        events: publish job events on ``routeq/events/<queue>``; default True.
        log_jobs: log each job that is done, with the seconds that it ran; default False.
        guard: the keys that verify and decrypt jobs; default: no keys.
        stall_limit: seconds for which the event loop may be blocked before the worker hands its
            jobs to others; default 30.
        triggers: topic patterns whose messages become jobs; the worker registers them with the
            scheduler. Default: none.
    """

    queues: tuple[str, ...] = ("default",)
    concurrency: int = 10
    prefetch: int | None = None
    threads: int | None = None
    max_memory: float | None = None
    max_jobs: int | None = None
    max_time: float | None = None
    timeout: float | None = None
    max_tries: int | None = None
    max_deliveries: int = 5
    overrides: bool = True
    stop_when_empty: bool = False
    shutdown_timeout: float = 30.0
    cancel_timeout: float = 10.0
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    events: bool = True
    log_jobs: bool = False
    stall_limit: float = 30.0
    triggers: tuple[Trigger, ...] = ()
    guard: Guard = OPEN

    def __post_init__(self) -> None:
        if not self.queues:
            raise ConfigurationError("worker: no queue is named; say for example --queue default")
        for queue in self.queues:
            check_chosen_name(queue, "worker: queue")
        if len(set(self.queues)) != len(self.queues):
            raise ConfigurationError(f"worker: queues={self.queues!r} names a queue twice")
        if self.name is not None:
            device_queue(self.name, "worker: name")
        self._check_tags()
        lowest = {
            "concurrency": 1,
            "prefetch": 0,
            "threads": 1,
            "max_memory": 1,
            "max_jobs": 1,
            "max_time": 0,
            "timeout": 0,
            "max_tries": 1,
            "max_deliveries": 1,
            "shutdown_timeout": 0,
            "cancel_timeout": 0,
            "stall_limit": 1,
        }
        for option, least in lowest.items():
            value = getattr(self, option)
            if value is not None and not value >= least:
                raise ConfigurationError(f"worker: {option}={value!r} must be {least} or more")

    def _check_tags(self) -> None:
        if self.tags and self.name is None:
            raise ConfigurationError(
                "worker: tags belong to a device that keeps its name; say --name, too"
            )
        for key, value in self.tags.items():
            if not all(isinstance(part, str) and part.isprintable() for part in (key, value)):
                raise ConfigurationError(f"worker: tag {key!r}={value!r} must be printable texts")

    @property
    def served(self) -> tuple[str, ...]:
        """All queues, the device's own first."""
        if self.name is None:
            return self.queues
        return (device_queue(self.name, "worker: name"), *self.queues)

    @property
    def window(self) -> int:
        """Messages that each queue's session holds at most."""
        prefetch = self.concurrency if self.prefetch is None else self.prefetch
        return self.concurrency + prefetch
