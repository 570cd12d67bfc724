"""How a scheduler works."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.scheduler.observe.alerts import AlertRules
from routeq_mqtt.scheduler.recovery.reaper import LOST_AFTER
from routeq_mqtt.scheduler.release.publisher import FEED_WINDOW
from routeq_mqtt.security.guard import OPEN, Guard
from routeq_mqtt.wire.names import check_queue_name

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
    from routeq_mqtt.wire.messages.requests import AnnouncedSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerOptions:
    """The options of a scheduler.

    Attributes:
        db: the SQLite file, or the schema in PostgreSQL; on that a second scheduler always waits.
        lost_after: seconds between a worker's Last Will and its adoption; default 1.
        schedules: of the job classes that this process knows, as `bus.timetable` announces them.
        standby: if another scheduler holds the database, wait until it does not, and take over.
        force: use the database although the bus has seen a newer copy of it.
        feed_window: rows of one queue in the workers' hands at most; default 2000.
        bridged: names of queues, with ``*``, whose `$queue` messages a bridge of the broker takes
            elsewhere: it holds them, so we do not.
        alerts: when something counts as wrong.
        homeassistant: announce the bus to Home Assistant.
        metrics: host and port on which Prometheus finds the numbers of the bus; None: nowhere.
        guard: signs jobs of triggers, and again what an operator retries; default: no keys.
    """

    db: DatabasePlace
    lost_after: float = LOST_AFTER
    feed_window: int = FEED_WINDOW
    bridged: tuple[str, ...] = ()
    guard: Guard = OPEN
    schedules: tuple[AnnouncedSchedule, ...] = ()
    standby: bool = False
    force: bool = False
    alerts: AlertRules = field(default_factory=AlertRules)
    metrics: tuple[str, int] | None = None
    homeassistant: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.lost_after < inf:
            raise ConfigurationError(
                f"scheduler: lost_after={self.lost_after!r} must be 0 seconds or more"
            )
        for name in self.bridged:
            check_queue_name(name, "scheduler: bridged")
