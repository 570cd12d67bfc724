"""Tells the scheduler which schedules this worker's job classes have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.bus.features.schedule_listing import announcement
from routeq_mqtt.errors import ConnectionLost, NoScheduler, PublishRefused
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.wire.messages.requests import ScheduleAnnounce

if TYPE_CHECKING:
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.clock import Clock

log: logging.Logger = logging.getLogger(__name__)


class Registration:
    """Announces at the start, and again to each new scheduler: its database may be another one.

    Args:
        sender: the connection.
        clock: what time it is.
    """

    def __init__(self, sender: Sender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin, where there is something to announce."""
        said = announcement(self._clock.now())
        if said:
            payload = ScheduleAnnounce(schedules=said).encode()
            self._tasks.keep(lambda: self._keep_announcing(payload), "announcer")

    def close(self) -> None:
        """Announce no more."""
        self._tasks.cancel()

    async def _keep_announcing(self, payload: bytes) -> None:
        around, told = self._sender.surroundings, None
        topic = self._sender.topics.rpc(ScheduleAnnounce.METHOD)
        while True:
            since = around.scheduler_changed.fired
            status = around.scheduler
            if status is not None and status.state == "online" and status.instance != told:
                try:
                    await self._sender.to_scheduler(topic, payload)
                except (NoScheduler, ConnectionLost, PublishRefused) as error:
                    log.warning("schedules are not announced: %s", error)
                else:
                    told = status.instance
            await around.scheduler_changed.wait(since=since)
