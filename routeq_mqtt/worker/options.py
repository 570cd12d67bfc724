"""What a worker is told at its start, checked where it is written."""

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
    """How a worker works.

    Attributes:
        queues: in order of priority: a waiting job of an earlier queue starts before one of a
            later queue.
        concurrency: jobs that run at once; default 10.
        threads: plain functions that run at once; default: as many as concurrency.
        max_memory: stop gracefully when the process has more resident memory than that, MB of 10^6
            bytes; default: never.
        prefetch: jobs held beyond those that run, for each queue; default: as many as concurrency,
            and up to 256 while jobs are so short that all slots run them in 20 ms.
        max_jobs: stop after that many jobs; default: never.
        max_time: stop after that many seconds; default: never.
        timeout, max_tries: for job classes that set none of their own.
        overrides: whether a message may set `max_tries`, `timeout`, `retry_after` and the like,
            within what the class of its job allows; default True.
        max_deliveries: how many workers a job may take down before it fails; default 5.
        stop_when_empty: stop when no job is waiting.
        shutdown_timeout: seconds that running jobs get to finish when the worker stops; default 30.
        cancel_timeout: seconds that a cancelled coroutine (a timeout, an order) gets to end; then
            its job ends without it, and its slot is replaced; default 10.
        name: a stable name, part of the worker's id; it also works on the queue of that device.
        tags: what else is known of the device, for broadcasts; only with a name.
        events: tell what happens to jobs on ``routeq/events/<queue>``.
        log_jobs: log each job that is done, with the seconds that it ran; default False.
        guard: the keys that jobs are checked and opened with; default: none.
        stall_limit: seconds without a sign of life of the event loop after which the worker gives
            its jobs away; default 30.
        triggers: messages that become jobs, to be declared to the scheduler.
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
