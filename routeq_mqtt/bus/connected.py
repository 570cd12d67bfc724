"""The parts of a bus, and its connection: opened on first use, and again after it was closed."""

from __future__ import annotations

import functools
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from routeq_mqtt.bus.arguments import check_timeout
from routeq_mqtt.bus.events import Events
from routeq_mqtt.bus.packer import Packer
from routeq_mqtt.bus.places import Places
from routeq_mqtt.bus.rpc import Requests
from routeq_mqtt.bus.sender import Sender
from routeq_mqtt.bus.size import Sizes
from routeq_mqtt.bus.within import Within
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.outbox.options import OutboxOptions
from routeq_mqtt.settings import Settings
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from types import TracebackType

    from routeq_mqtt.bus.outgoing import Outgoing
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.seam import Transport


class Connected:
    """The part of a bus that connects. Its arguments are those of `Bus`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        outbox: str | Path | OutboxOptions | None = None,
        settings: Settings | None = None,
        transport: Transport | None = None,
        topics: Topics | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = _settings(url, settings)
        self._options = _outbox_options(outbox, self.settings)
        self._transport = transport
        self._topics = topics or self.settings.topics()
        self._clock = clock or SystemClock()
        self.guard = self.settings.guard()
        self._packer = Packer(
            self.guard,
            self._clock,
            self.settings.max_payload,
            keeps=self._options is not None,
        )
        self._places = Places(self, self._topics, self.settings.timeout)
        self._outgoing: Outgoing | None = None
        self._opened: Sender | None = None
        self._requests: Requests | None = None
        self._sizes: Sizes | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self, timeout: float | None = None) -> None:
        """Connect; with an outbox, open that and connect in the background.

        Args:
            timeout: seconds; default: the settings'.

        Raises:
            ConnectionFailed: the broker was not reached in time; says why.
            OutboxUnavailable: the outbox's file cannot be used.
        """
        if self.outgoing is not None:
            await self.outgoing.open()
        else:
            await self._connect(timeout)

    async def _connect(self, timeout: float | None = None) -> None:
        async with self._within(timeout, "connect"):
            await self.sender.link.ready()

    async def close(self) -> None:
        """Disconnect; with an outbox, first send what can be sent within its `linger` seconds."""
        outgoing, self._outgoing = self._outgoing, None
        if outgoing is not None:
            await outgoing.close()
        sender, self._opened = self._opened, None
        if "_events" in vars(self):
            self._events.flush()
            del self._events
        if sender is not None:
            await sender.link.close()

    @property
    def sender(self) -> Sender:
        """The connection that jobs go out on; it connects on first use."""
        sender = self._clients()[0]
        sender.link.start()
        return sender

    @property
    def requests(self) -> Requests:
        """Requests to the scheduler.

        Raises:
            ConfigurationError: the bus lives in another event loop.
        """
        if not self.sender.link.is_ours:
            raise ConfigurationError(
                "this bus lives in another event loop; ask one of this loop: bus.handle(job_id). A "
                "SyncBus has result(job_id), status(job_id), cancel(job_id), batch_progress(id) "
                "and rollout_progress(id)"
            )
        assert self._requests is not None  # noqa: S101 - made together with the sender
        return self._requests

    @property
    def sizes(self) -> Sizes:
        """What is known of queues and workers."""
        _ = self.sender
        assert self._sizes is not None  # noqa: S101 - made together with the sender
        return self._sizes

    @property
    def outgoing(self) -> Outgoing | None:
        """The outbox, where there is one."""
        options = self._options
        if self._outgoing is None and options is not None:
            from routeq_mqtt.bus.outgoing import Outgoing  # SQLite: only who asked for it pays

            self._outgoing = Outgoing(
                options, self._clock, self._clients, timeout=self.settings.timeout
            )
        return self._outgoing

    @functools.cached_property
    def _events(self) -> Events:
        sender = self.sender
        enabled = self.settings.events
        return Events(sender.link, self._topics, self._clock, sender.client_id, enabled=enabled)

    def _clients(self) -> tuple[Sender, Requests]:
        """Sender and requests; not connected by this alone."""
        if self._opened is None or self._requests is None:
            transport = self._transport or AioTransport(self.settings.address())
            client_id = f"routeq-{socket.gethostname()[:20]}-{os.getpid()}-{new_id()[-8:]}"
            self._opened = Sender(transport, self._topics, client_id, clock=self._clock)
            self._requests = Requests(self._opened)
            self._sizes = Sizes(
                self._opened, self._requests, self._clock, timeout=self.settings.timeout
            )
        return self._opened, self._requests

    def _within(self, timeout: float | None, what: str, *, stored: bool = False) -> Within:
        if timeout is None:
            return Within(self, self.settings.timeout, what, stored=stored)
        check_timeout(timeout, what)
        return Within(self, timeout, what, stored=stored)


def _settings(url: str | None, settings: Settings | None) -> Settings:
    if settings is None:
        return Settings.from_environment(url=url)
    return settings if url is None else replace(settings, url=url)


def _outbox_options(
    outbox: str | Path | OutboxOptions | None, settings: Settings
) -> OutboxOptions | None:
    if isinstance(outbox, OutboxOptions):
        return outbox
    return settings.outbox_options(None if outbox is None else Path(outbox))
