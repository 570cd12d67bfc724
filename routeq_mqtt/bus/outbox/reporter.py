"""Says what waits in an outbox, so that an operator sees it elsewhere than on that machine."""

from __future__ import annotations

import asyncio
import hashlib
import platform
from contextlib import suppress
from typing import TYPE_CHECKING

from routeq_mqtt.errors import OutboxUnavailable
from routeq_mqtt.wire.observe.outbox import OutboxReport

if TYPE_CHECKING:
    from routeq_mqtt.bus.outbox.forwarder import Forwarder
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.outbox.outbox import Outbox

_EVERY = 5.0


class OutboxReporter:
    """Publishes a report every five seconds while jobs wait; the process that forwards does.

    An outbox that is away from the broker cannot report: its last report stays, and says when it
    was written. One that is empty has none.

    Args:
        outbox: that is reported.
        forwarder: of it.
        sender: the connection that the jobs go out on.
        clock: when it was.
    """

    def __init__(self, outbox: Outbox, forwarder: Forwarder, sender: Sender, clock: Clock) -> None:
        path = outbox.options.path.absolute()
        self._place = f"{platform.node()}:{path}"
        name = hashlib.blake2b(self._place.encode("utf-8", "replace"), digest_size=8).hexdigest()
        self._topic = sender.topics.outbox(name)  # the same after a restart of the producer
        self._outbox = outbox
        self._forwarder = forwarder
        self._sender = sender
        self._clock = clock
        self._said: bytes | None = None

    async def run(self) -> None:
        """Report for ever."""
        while True:
            with suppress(OutboxUnavailable):  # the forwarder logs it
                await self.report()
            await asyncio.sleep(_EVERY)

    async def report(self) -> None:
        """Look once, and publish what has changed."""
        connection = self._sender.link.connection
        state = self._forwarder.state
        if connection is None or state == "standby" or (state == "idle" and self._said == b""):
            return
        status = await self._outbox.status()
        report = OutboxReport(
            place=self._place[-200:],
            jobs=status.jobs,
            size=status.bytes,
            oldest_at=status.oldest,
            dropped=status.dropped,
            refused=status.aside_jobs,
            at=round(self._clock.now(), 3),
        )
        said = report.encode() if status.jobs or status.aside_jobs else b""
        if said != self._said:
            # Unanswered: access rules of an earlier version do not have this topic.
            connection.publish(self._topic, said, qos=0, retain=True)
            self._said = said
