"""Finds out who gives jobs to workers on this broker: its groups, or the scheduler."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.bus.send.sender import Sender
from routeq_mqtt.errors import ConnectionLost
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Transport

log: logging.Logger = logging.getLogger(__name__)

_WITHIN = 0.5
"""Seconds that a group of one may take longer than a plain subscription; a part of the time that a
standby takes to take over."""

_TRIES = 3
"""Connections in a row that may end at a shared subscription before that is the cause."""


async def decide_sharing(transport: Transport, topics: Topics, clock: Clock) -> bool:
    """Whether this scheduler deals jobs: as its setting says, or as the broker needs it.

    With `auto` it deals if a group of one gets nothing of what the broker delivers to a plain
    subscription. If in doubt (access control hides both), it does not.

    Args:
        transport: reaches the broker; waits for it however long it is away.
        topics: with the setting.
        clock: of the connection.
    """
    if topics.sharing != "auto":
        return topics.sharing == "scheduler"
    sender = Sender(transport, topics, f"routeq-sharing-{new_id()[-8:]}", clock=clock)
    sender.link.start()
    try:
        deals, found = await _probe(sender)
    finally:
        await sender.link.close()
    log.info("sharing=%s %s", "scheduler" if deals else "broker", found)
    return deals


async def _probe(sender: Sender) -> tuple[bool, str]:
    """Whether the scheduler has to deal, and what was found."""
    for _ in range(_TRIES):
        await sender.link.ready()
        if sender.surroundings.shares_queue:
            return False, "the embedded broker shares jobs itself"
        try:
            if await sender.gets_shared(_WITHIN):
                return False, "the broker delivers to shared subscriptions"
        except ConnectionLost:
            continue
        return True, "the broker does not deliver to shared subscriptions: the scheduler deals"
    return True, "the broker ends connections that subscribe to $share/…: the scheduler deals"
