"""What the checks work with: a bus, and clients of their own that leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from routeq_mqtt.notifier import Notifier
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from routeq_mqtt.bus.bus import Bus
    from routeq_mqtt.settings.settings import Settings
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection, Message

WAIT = 3.0
"""Seconds that a check waits for a message before it says that none comes."""

_SESSION = 60


class Probe:
    """One client of a check, with what it was given.

    Attributes:
        acknowledges: send a PUBACK for what comes.
        topic: of its own.
    """

    def __init__(self, topics: Topics) -> None:
        self.name: str = f"routeq-doctor-{new_id()[-8:]}"
        self.topic: str = topics.probe(self.name)
        self.messages: list[Message] = []
        self.acknowledges = True
        self._connection: Connection | None = None
        self._news = Notifier()

    @property
    def connection(self) -> Connection:
        """The connection that is open now."""
        assert self._connection is not None  # noqa: S101 - set by `Patient`
        return self._connection

    def take(self, message: Message) -> None:
        """A message has come."""
        self.messages.append(message)
        if self.acknowledges and self._connection is not None:
            self._connection.acknowledge(message)
        self._news.notify()

    def use(self, connection: Connection) -> None:
        """Go on with a connection, and acknowledge what came while it was made."""
        self._connection = connection
        if self.acknowledges:
            for message in self.messages:
                connection.acknowledge(message)

    async def count(self, number: int) -> int:
        """Wait for this many messages, or until none has come for a while; how many came."""
        while len(self.messages) < number and await self.more():
            pass
        return len(self.messages)

    async def more(self) -> bool:
        """Wait for a message; whether one came."""
        before = len(self.messages)
        await self._news.wait(WAIT)
        return len(self.messages) > before


class Patient:
    """The bus that is examined.

    Args:
        bus: connected.
        settings: of the bus.
    """

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self.bus = bus
        self.settings = settings
        self.topics: Topics = settings.topics()
        self.transport: AioTransport = AioTransport(settings.address())

    @contextlib.asynccontextmanager
    async def client(
        self, probe: Probe | None = None, *, persistent: bool = False, limit: int | None = None
    ) -> AsyncIterator[Probe]:
        """A client for a check; its session ends with it."""
        probe = probe or Probe(self.topics)
        connection = await self.transport.connect(options(probe, persistent, limit), probe.take)
        probe.use(connection)
        try:
            yield probe
        finally:
            await probe.connection.close(end_session=persistent)

    async def publish(self, topic: str, payload: bytes, times: int = 1) -> list[int]:
        """Send from the bus's own connection; the reasons of the PUBACKs."""
        connection = await self.bus.sender.link.ready()
        sent = [connection.publish(topic, payload) for _ in range(times)]
        return list(await asyncio.gather(*sent))


def options(probe: Probe, persistent: bool, limit: int | None = None) -> ConnectOptions:
    """How a check's client introduces itself."""
    return ConnectOptions(
        probe.name,
        persistent=persistent,
        session_expiry=_SESSION if persistent else 0,
        receive_maximum=limit,
    )
