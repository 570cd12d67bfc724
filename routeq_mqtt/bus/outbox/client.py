"""The outbox of a bus: takes jobs in, and sends them in the background."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from routeq_mqtt.bus.outbox.forwarder import Forwarder
from routeq_mqtt.bus.outbox.reporter import OutboxReporter
from routeq_mqtt.errors import OutboxUnavailable
from routeq_mqtt.outbox.outbox import Outbox
from routeq_mqtt.outbox.rows import OutboxJob
from routeq_mqtt.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.outbox.options import Confirm, OutboxOptions
    from routeq_mqtt.wire.envelopes.envelope import Envelope

_LOOK_EVERY = 0.02


class Outgoing:
    """Takes jobs into the outbox of a bus and sends them in the background. Made by the bus.

    Args:
        options: of the outbox.
        clock: what time it is.
        connect: gives sender and requests, not connected yet.
        timeout: seconds that the scheduler may take to answer.
    """

    def __init__(
        self,
        options: OutboxOptions,
        clock: Clock,
        connect: Callable[[], tuple[Sender, Requests]],
        *,
        timeout: float,
    ) -> None:
        self.outbox: Outbox = Outbox(options, clock)
        self.forwarder: Forwarder | None = None
        self._reporter: OutboxReporter | None = None
        self._clock = clock
        self._connect = connect
        self._timeout = timeout
        self._tasks = Tasks()
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Open the file and begin to send."""
        if self._tasks:
            return
        async with self._opening:
            if self._tasks:
                return
            await self.outbox.open()
            sender, requests = self._connect()
            self.forwarder = Forwarder(
                self.outbox, sender, requests, self._clock, timeout=self._timeout
            )
            reporter = self._reporter = OutboxReporter(
                self.outbox, self.forwarder, sender, self._clock
            )
            self._tasks.keep(self.forwarder.run, "outbox-forwarder")
            self._tasks.keep(reporter.run, "outbox-reporter")
            self._tasks.keep(self.outbox.watch, "outbox-watch")

    async def put(
        self, jobs: Sequence[tuple[Envelope, bytes]], confirm: Confirm | None = None
    ) -> None:
        """Keep jobs; see `Outbox.put`."""
        await self.open()
        stored = (confirm or self.outbox.options.confirm) == "stored"
        now = self._clock.now()
        await self.outbox.put(
            [
                OutboxJob(
                    id=str(envelope.id),
                    queue=str(envelope.queue),
                    stored=stored,
                    delayed=envelope.run_at is not None,
                    expires_at=envelope.expires_at,
                    kept_at=now,
                    envelope=payload,
                )
                for envelope, payload in jobs
            ]
        )

    async def drain(self, timeout: float) -> bool:
        """Wait until the outbox is empty, or this process is not the one that can empty it.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether it is empty.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not await self.outbox.is_empty():
            if self.forwarder is not None:
                self.forwarder.take_over()  # who sent until now may have left a moment ago
            if self.forwarder is None or not self.forwarder.goes_on or loop.time() >= deadline:
                return False
            await asyncio.sleep(_LOOK_EVERY)
        return True

    async def flush(self, timeout: float) -> None:
        """Wait until the outbox is empty, whichever process sends, `timeout` seconds at most."""
        await self.open()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not await self.outbox.is_empty():
                    await asyncio.sleep(_LOOK_EVERY)

    async def close(self) -> None:
        """Send what can be sent within `linger` seconds, then stop; the rest stays in the file.

        An `open` that has begun comes first: who opens and leaves at once wants his jobs sent, too.
        """
        async with self._opening:
            pass
        try:
            if self._tasks:
                with contextlib.suppress(OutboxUnavailable):
                    await self.drain(self.outbox.options.linger)
                    if self._reporter is not None:
                        await self._reporter.report()
        finally:
            await self._tasks.close()
            await self.outbox.close()
