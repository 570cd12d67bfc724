"""What the conformance suite runs against: each implementation of the seam, with its brokers."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from routeq_broker import Broker
from routeq_mqtt.embedded import make_broker
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.testing import BrokerOptions, MemoryBroker, MemoryTransport
from routeq_mqtt.transport.address import BrokerAddress, Protocol
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import Connection, ConnectOptions, Message, OnMessage, Transport
from tests.cluster.cluster import Cluster, Kind, free_port
from tests.cluster.proxy import Proxy
from tests.cluster.recorder import TIMEOUT, Recorder


class Inbox:
    """Keeps what a connection receives."""

    def __init__(self, *, acknowledge: bool = False) -> None:
        self.messages: list[Message] = []
        self.connection: Connection | None = None
        self._acknowledge = acknowledge
        self._news = Notifier()

    def __call__(self, message: Message) -> None:
        self.messages.append(message)
        if self._acknowledge and self.connection is not None:
            self.connection.acknowledge(message)
        self._news.notify()

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    async def until(self, number: int) -> list[Message]:
        """Wait for so many messages; all that are here."""
        async with asyncio.timeout(TIMEOUT):
            while len(self.messages) < number:
                await self._news.wait()
        return self.messages

    async def has(self, payload: bytes) -> list[bytes]:
        """Wait for a payload; all payloads before it."""
        async with asyncio.timeout(TIMEOUT):
            while payload not in self.payloads:
                await self._news.wait()
        return self.payloads[: self.payloads.index(payload)]


@dataclass
class Fragile:
    """A transport whose connections can be cut."""

    transport: Transport
    cut: Callable[[], None]


class Subject(ABC):
    """One implementation of the seam over one kind of broker.

    Attributes:
        mqtt5: it speaks MQTT 5, with reasons in a PUBACK.
        like_mosquitto: shared subscriptions are as mosquitto has them.
        flood: messages of 200 kB that are more than all sockets take at once.
    """

    mqtt5: bool
    flood = 100
    like_mosquitto = True

    @abstractmethod
    async def start(self) -> None: ...
    @abstractmethod
    async def stop(self) -> None:
        """End the broker politely; it keeps its sessions."""

    async def kill(self) -> None:
        """End the broker at once."""
        await self.stop()

    async def close(self) -> None:
        await self.stop()

    @abstractmethod
    def transport(self, *, connect_timeout: float = 5.0) -> Transport: ...
    @abstractmethod
    def fragile(self) -> Fragile: ...
    @abstractmethod
    def silent(self) -> Transport:
        """To something that accepts a connection and never answers."""


class MemorySubject(Subject):
    def __init__(self, *, mqtt5: bool) -> None:
        self.mqtt5 = mqtt5
        self.broker = MemoryBroker(BrokerOptions(mqtt5=mqtt5))

    async def start(self) -> None:
        self.broker.start()

    async def stop(self) -> None:
        self.broker.stop()

    async def kill(self) -> None:
        self.broker.kill()

    def transport(self, *, connect_timeout: float = 5.0) -> Transport:
        return MemoryTransport(self.broker, connect_timeout=connect_timeout)

    def fragile(self) -> Fragile:
        names: set[str] = set()

        class Noting(MemoryTransport):
            async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
                names.add(options.client_id)
                return await super().connect(options, on_message)

        def cut() -> None:
            for name in names:
                self.broker.cut(name)

        return Fragile(Noting(self.broker), cut)

    def silent(self) -> Transport:
        self.broker.pause()
        return self.transport(connect_timeout=0.1)


class SocketSubject(Subject):
    """aiomqtt over a socket."""

    port: int
    protocol: Protocol

    def __init__(self) -> None:
        self.proxies: list[Proxy] = []
        self.server: asyncio.Server | None = None

    def transport(self, *, connect_timeout: float = 5.0) -> Transport:
        return self._transport(self.port, connect_timeout)

    def _transport(self, port: int, connect_timeout: float) -> Transport:
        return AioTransport(self.address(port), connect_timeout=connect_timeout)

    def address(self, port: int) -> BrokerAddress:
        return BrokerAddress(port=port, protocol=self.protocol)

    async def open_proxy(self) -> None:
        proxy = Proxy(self.port)
        await proxy.start()
        self.proxies.append(proxy)
        self.server = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)

    def fragile(self) -> Fragile:
        [proxy] = self.proxies
        return Fragile(self._transport(proxy.port, 5.0), proxy.cut)

    def silent(self) -> Transport:
        assert self.server is not None
        return self._transport(self.server.sockets[0].getsockname()[1], 0.1)

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for proxy in self.proxies:
            await proxy.stop()


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1 << 16):
        pass
    writer.close()


class ProcessSubject(SocketSubject):
    """Over a broker process of a test bed."""

    def __init__(self, kind: Kind, protocol: Protocol, folder: Path) -> None:
        super().__init__()
        self.cluster = Cluster(kind, folder, Recorder())
        self.port = self.cluster.port
        self.protocol = protocol
        self.mqtt5 = protocol == "5"

    async def start(self) -> None:
        await self.cluster.start_broker()
        await self.cluster.listening(self.port)

    async def stop(self) -> None:
        await self.cluster.stop_broker()

    async def kill(self) -> None:
        await self.cluster.stop_broker(signal.SIGKILL)

    async def close(self) -> None:
        await super().close()
        await self.cluster.close()


class TlsSubject(ProcessSubject):
    """Over TLS, with a certificate that is made for the test."""

    def __init__(self, protocol: Protocol, folder: Path) -> None:
        super().__init__("mosquitto", protocol, folder)
        self.port = free_port()
        self._key, self._certificate = folder / "key.pem", folder / "certificate.pem"
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                "-addext", "subjectAltName=IP:127.0.0.1",
                "-keyout", str(self._key), "-out", str(self._certificate),
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
        self.cluster.listeners = [
            f"listener {self.port} 127.0.0.1",
            f"certfile {self._certificate}",
            f"keyfile {self._key}",
        ]

    def address(self, port: int) -> BrokerAddress:
        return replace(super().address(port), tls=True, ca_file=str(self._certificate))


class WebsocketSubject(ProcessSubject):
    """Over a websocket; mosquitto 2.0 sends such a reader about 100 kB/s once it was behind."""

    flood = 5

    def __init__(self, protocol: Protocol, folder: Path) -> None:
        super().__init__("mosquitto", protocol, folder)
        self.port = free_port()
        # Without the domain, libwebsockets takes every IPv6 address instead of this one.
        self.cluster.listeners = [
            f"listener {self.port} 127.0.0.1",
            "socket_domain ipv4",
            "protocol websockets",
        ]

    def address(self, port: int) -> BrokerAddress:
        return replace(super().address(port), websocket_path="/mqtt")


class EmbeddedSubject(SocketSubject):
    """Over the embedded broker, in this process."""

    like_mosquitto = False

    def __init__(self, protocol: Protocol, folder: Path) -> None:
        super().__init__()
        self.protocol = protocol
        self.mqtt5 = protocol == "5"
        self._db = folder / "broker.db"
        self.port = 0
        self.broker: Broker | None = None

    async def start(self) -> None:
        self.broker = make_broker(f"127.0.0.1:{self.port}", self._db)
        await self.broker.start()
        self.port = self.broker.port

    async def stop(self) -> None:
        assert self.broker is not None
        await self.broker.stop()

    async def close(self) -> None:
        await super().close()
        await self.stop()


@asynccontextmanager
async def subject_of(name: str, folder: Path) -> AsyncIterator[Subject]:
    """A subject whose broker runs."""
    kind, _, protocol = name.partition(" ")
    subject: Subject
    if kind == "memory":
        subject = MemorySubject(mqtt5=protocol == "5")
    elif kind == "embedded":
        subject = EmbeddedSubject("5" if protocol == "5" else "3.1.1", folder)
    elif kind == "tls":
        subject = TlsSubject("5", folder)
    elif kind == "websocket":
        subject = WebsocketSubject("5", folder)
    else:
        subject = ProcessSubject("mosquitto", "5" if protocol == "5" else "3.1.1", folder)
    await subject.start()
    if isinstance(subject, SocketSubject):
        await subject.open_proxy()
    try:
        yield subject
    finally:
        await subject.close()
