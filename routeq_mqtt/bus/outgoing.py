"""The outbox of a bus: takes jobs in, and sends them in the background."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.bus.forwarder import Forwarder
from routeq_mqtt.errors import OutboxUnavailable
from routeq_mqtt.outbox.outbox import Outbox
from routeq_mqtt.outbox.rows import OutboxJob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routeq_mqtt.bus.rpc import Requests
    from routeq_mqtt.bus.sender import Sender
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.outbox.options import Confirm, OutboxOptions
    from routeq_mqtt.wire.envelope import Envelope

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.02


class Outgoing:
    """See the module. Made by a bus, for its event loop.

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
        self.outbox = Outbox(options, clock)
        self.forwarder: Forwarder | None = None
        self._clock = clock
        self._connect = connect
        self._timeout = timeout
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the file and begin to send."""
        await self.outbox.open()
        if self._task is None:
            sender, requests = self._connect()
            self.forwarder = Forwarder(
                self.outbox, sender, requests, self._clock, timeout=self._timeout
            )
            self._task = asyncio.create_task(self.forwarder.run(), name="outbox-forwarder")
            self._task.add_done_callback(self._forwarder_ended)

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
        """Send what can be sent within `linger` seconds, then stop; the rest stays in the file."""
        task, self._task = self._task, None
        try:
            if task is not None and not task.done():
                with contextlib.suppress(OutboxUnavailable):
                    await self.drain(self.outbox.options.linger)
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await self.outbox.close()

    def _forwarder_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("the forwarder of the outbox ended", exc_info=task.exception())
