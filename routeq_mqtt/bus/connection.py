"""The parts of a bus, and its connection: opened on first use, and again after it was closed."""

from __future__ import annotations

import functools
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from routeq_mqtt.bus.features.events import Events
from routeq_mqtt.bus.features.queue_size import Sizes
from routeq_mqtt.bus.loop_end import let_go, send_the_rest, tend
from routeq_mqtt.bus.send.arguments import check_timeout
from routeq_mqtt.bus.send.deadline import Deadline
from routeq_mqtt.bus.send.routing import JobRouter
from routeq_mqtt.bus.send.rpc import Requests
from routeq_mqtt.bus.send.sender import Sender
from routeq_mqtt.bus.send.serializer import Serializer
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.imports import first_import
from routeq_mqtt.outbox.options import OutboxOptions
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport import backoff
from routeq_mqtt.transport.several import make_transport
from routeq_mqtt.wire.client_ids import of_name
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from types import TracebackType

    from routeq_mqtt.bus.outbox.client import Outgoing
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.security.guard import Guard
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Transport


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
        _load(connects=transport is None)
        self.settings: Settings = _settings(url, settings)
        self.outbox_options: OutboxOptions | None = _outbox_options(outbox, self.settings)
        self._transport = transport
        self._topics = topics or self.settings.topics()
        self._clock = clock or SystemClock()
        self.guard: Guard = self.settings.guard()
        self._packer = Serializer(
            self.guard,
            self._clock,
            self.settings.max_payload,
            keeps=self.outbox_options is not None,
        )
        self._places = JobRouter(self, self._topics, self.settings.timeout)
        self._outgoing: Outgoing | None = None
        self._opened: Sender | None = None
        self._requests: Requests | None = None
        self._sizes: Sizes | None = None

    def parts_for_services(self) -> tuple[Transport, Topics, Clock, bool]:
        """What a worker beside this bus needs; last: whether the transport is one of its own."""
        transport = self._transport or make_transport(self.settings.addresses())
        return transport, self._topics, self._clock, self._transport is not None

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
        """Disconnect; with an outbox, first send what can be sent within its `linger` seconds.

        A bus that is not closed explicitly is closed when its event loop ends.
        """
        let_go(self)
        outgoing, self._outgoing = self._outgoing, None
        if outgoing is not None:
            await outgoing.close()
        sender, self._opened = self._opened, None
        if "_events" in vars(self):
            self._events.flush()
            del self._events
        if sender is not None:
            await sender.link.close()

    async def close_with_loop(self) -> None:
        """Close: the event loop ends. What an outbox holds is sent by this process all the same."""
        outgoing, path = self._outgoing, None
        if outgoing is not None and not await outgoing.outbox.is_empty():
            path = outgoing.outbox.options.path
        await self.close()
        if path is not None:
            send_the_rest(path, self._again)

    def abandon(self) -> None:
        """Free what can be freed: the event loop was closed first."""
        outgoing, self._outgoing = self._outgoing, None
        if outgoing is not None:
            outgoing.outbox.abandon()
        self._opened = self._requests = self._sizes = None

    def _again(self) -> Self:
        """The same bus for another event loop."""
        return type(self)(
            outbox=self.outbox_options,
            settings=self.settings,
            transport=self._transport,
            topics=self._topics,
            clock=self._clock,
        )

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
        options = self.outbox_options
        if self._outgoing is None and options is not None:
            with first_import():  # SQLite: only who asked for it pays
                from routeq_mqtt.bus.outbox.client import Outgoing

            self._outgoing = Outgoing(
                options, self._clock, self._clients, timeout=self.settings.timeout
            )
            tend(self)
        return self._outgoing

    @functools.cached_property
    def _events(self) -> Events:
        sender = self.sender
        enabled = self.settings.events
        return Events(
            sender.link,
            self._topics,
            self._clock,
            sender.client_id,
            enabled=enabled,
            reports=lambda: sender.surroundings.reports_no_subscribers,
        )

    def _clients(self) -> tuple[Sender, Requests]:
        """Sender and requests; not connected by this alone."""
        if self._opened is None or self._requests is None:
            tend(self)
            transport = self._transport or make_transport(self.settings.addresses())
            host = of_name(socket.gethostname()[:20])
            client_id = f"routeq-{host}-{os.getpid()}-{new_id()[-8:]}"
            self._opened = Sender(transport, self._topics, client_id, clock=self._clock)
            self._requests = Requests(self._opened, self.guard.signer, self._clock)
            self._sizes = Sizes(
                self._opened, self._requests, self._clock, timeout=self.settings.timeout
            )
        return self._opened, self._requests

    def _within(self, timeout: float | None, what: str, *, stored: bool = False) -> Deadline:
        if timeout is None:
            return Deadline(self, self.settings.timeout, what, stored=stored)
        check_timeout(timeout, what)
        return Deadline(self, timeout, what, stored=stored)


Connected.__init__.__qualname__ = "Bus.__init__"  # what Python names for a wrong argument


def _load(*, connects: bool) -> None:
    """Import what a bus uses, before any of its time-outs runs.

    Args:
        connects: it makes its own transport.
    """
    with first_import():
        import routeq_mqtt.wire.messages.requests

        if connects:
            import routeq_mqtt.transport.aio  # noqa: F401
    backoff.load()


def _settings(url: str | None, settings: Settings | None) -> Settings:
    if url is not None and not isinstance(url, str):
        raise ConfigurationError(f"Bus: url={shown(url)} must be a text such as mqtt://host:1883")
    if settings is None:
        settings = Settings.from_environment(url=url)
    elif url is not None:
        settings = replace(settings, url=url)
    if url is not None:
        settings.addresses()  # refuses it here, not where it is first used
    return settings


def _outbox_options(
    outbox: str | Path | OutboxOptions | None, settings: Settings
) -> OutboxOptions | None:
    if isinstance(outbox, OutboxOptions):
        return outbox
    if outbox is not None and not isinstance(outbox, str | Path):
        raise ConfigurationError(f"Bus: outbox={shown(outbox)} must name a file")
    return settings.outbox_options(None if outbox is None else Path(outbox))
