"""A "broker" on a socket that sends just what a test tells it to, byte for byte."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from routeq_mqtt.transport import codec
from routeq_mqtt.transport.address import BrokerAddress, Protocol
from routeq_mqtt.transport.aio import AioTransport

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One client, seen from the broker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def packet(self) -> tuple[int, bytes]:
        """The next packet: its first byte and its body."""
        first = (await self.reader.readexactly(1))[0]
        length, shift = 0, 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return first, await self.reader.readexactly(length)

    async def welcome(self, *, properties: bytes = b"", mqtt5: bool = True, reason: int = 0) -> int:
        """Take the CONNECT, answer it; the protocol level that was asked for."""
        _, body = await self.packet()
        tail = codec.encode_length(len(properties)) + properties if mqtt5 else b""
        self.send(b"\x20" + codec.encode_length(2 + len(tail)) + bytes((0, reason)) + tail)
        return body[6]

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)


class Scripted:
    """Serves each connection with the next script."""

    def __init__(self, *scripts: Script, listening: socket.socket | None = None) -> None:
        self._scripts = list(scripts)
        self._listening = listening or socket.create_server(("127.0.0.1", 0))
        self._server: asyncio.Server | None = None
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Scripted:
        self._server = await asyncio.start_server(self._serve, sock=self._listening, limit=1 << 14)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        if error[0] is not None:
            for task in self._running:
                task.cancel()  # the test failed: its client may never hang up
        await asyncio.gather(*self._running, return_exceptions=error[0] is not None)

    def transport(self, protocol: Protocol = "5") -> AioTransport:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return AioTransport(BrokerAddress(port=port, protocol=protocol))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.append(task)
        try:
            await self._scripts.pop(0)(Peer(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
