"""Where a worker's jobs come from: the groups of the broker, or a scheduler that deals."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.worker.consume.session import QueueSession

log: logging.Logger = logging.getLogger(__name__)

_WITHIN = 5.0
_TRIES = 3


async def follow_scheduler(sender: Sender, sessions: Sequence[QueueSession]) -> None:
    """Subscribe anew whenever a scheduler says for the first time that it deals, or does not."""
    changed = sender.surroundings.scheduler_changed
    while True:
        since = changed.fired
        for session in sessions:
            session.follow()
        await changed.wait(since=since)


async def check_groups(sender: Sender) -> None:
    """Log an error, once, where shared subscriptions are granted, or refused, and bring nothing.

    RabbitMQ has none, and other brokers sell them as an option: jobs would pile up with no error
    anywhere.
    """
    for _ in range(_TRIES):
        await sender.link.ready()
        if sender.surroundings.deals:
            return
        try:
            if not await sender.gets_shared(_WITHIN):
                log.error(
                    "the broker does not deliver to shared subscriptions ($share/…), so no job "
                    "comes to this worker; start the scheduler with ROUTEQ_SHARING=scheduler, or "
                    "use a broker that does: mosquitto 2, EMQX, HiveMQ, or routeq-mqtt broker"
                )
        except ConnectionLost:
            continue
        return
