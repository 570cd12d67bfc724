"""The schedulers that wait to take over, as their retained statuses say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.presence.standbys import Standbys

if TYPE_CHECKING:
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.transport.base import Message
    from routeq_mqtt.wire.observe.standby import StandbyStatus


async def find_standbys(sender: Sender) -> list[StandbyStatus]:
    """The standbys of a bus; none where access control hides them.

    Args:
        sender: a connection to the bus.
    """
    if sender.surroundings.blind:
        return []
    found = Standbys(sender.topics)

    def fold(message: Message) -> None:
        found.fold(message.topic, message.payload, now=0.0)  # the leader clears silent ones

    await sender.listen(found.filters(), fold)
    await sender.caught_up()
    return found.waiting()
