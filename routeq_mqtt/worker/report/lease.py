"""Whether what a worker holds is surely its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.worker.delivery import Delivery
    from routeq_mqtt.worker.report.heartbeat_thread import Present


class Lease:
    """The worker's lease on its sessions, which its presence keeps up.

    A process that was stopped, or cut off, for longer than its lease may find its jobs running
    elsewhere: it starts none and settles none before it knows.

    Args:
        presence: knows how long the lease is sound.
        clock: what time it is.
    """

    def __init__(self, presence: Present, clock: Clock) -> None:
        self._presence = presence
        self._clock = clock

    async def gate(self) -> None:
        """Returns when the lease is known to be sound; never, where it was lost."""
        if not await self._presence.lease():
            await asyncio.Future()  # fenced: this life is over, and whoever waits is cancelled

    def covers(self, held: Delivery) -> bool:
        """Whether no other worker can have taken the job over."""
        return self._clock.monotonic() < self._presence.sound_until and held.holder.owns(held)

    async def until_covers(self, held: Delivery) -> None:
        """Wait until we know; a job that went to somebody else is cancelled here meanwhile."""
        while not self.covers(held):
            await self.gate()
            await held.holder.until_owned(held)
