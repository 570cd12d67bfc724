"""How a scheduler works."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.scheduler.publisher import FEED_WINDOW
from routeq_mqtt.scheduler.reaper import LOST_AFTER
from routeq_mqtt.security.guard import OPEN, Guard

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerOptions:
    """See the module.

    Attributes:
        db: the SQLite file.
        lost_after: seconds between a worker's Last Will and its adoption; default 1.
        schedules: of the job classes that this process knows, as `bus.timetable` announces them.
        feed_window: rows of one queue in the workers' hands at most; default 2000.
        bridged: names of queues, with ``*``, whose `$queue` messages a bridge of the broker takes
            elsewhere: it holds them, so we do not.
        guard: signs jobs of triggers, and again what an operator retries; default: no keys.
    """

    db: Path
    lost_after: float = LOST_AFTER
    feed_window: int = FEED_WINDOW
    bridged: tuple[str, ...] = ()
    guard: Guard = OPEN
    schedules: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.lost_after < inf:
            raise ConfigurationError(
                f"scheduler: lost_after={self.lost_after!r} must be 0 seconds or more"
            )
