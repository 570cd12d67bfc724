"""A TCP proxy on loopback whose line can be cut, blocked (half-open), slowed or a black hole."""

from __future__ import annotations

import asyncio
import contextlib

_CHUNK = 1 << 16
_PUBACK = 4
_NO_MATCHING_SUBSCRIBERS = 0x10


class Proxy:
    """Forwards connections to a port.

    Attributes:
        delay: seconds that each chunk is held up, in each direction.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.delay = 0.0
        self._target = target
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._refusing = False
        self._age = 0

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.heal()
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, back}
            await asyncio.gather(self._pump(reader, back), self._answer(there, writer))
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        age = self._age
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if age != self._age:
                    continue  # swallowed
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
        self._writers.discard(writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What comes back from the broker."""
        await self._pump(reader, writer)

    def cut(self, *, refuse: bool = False) -> None:
        """Break every connection with a reset; `refuse`: and each new one, until `heal`."""
        self._refusing = refuse
        for writer in list(self._writers):
            writer.transport.abort()
        self._writers.clear()

    def block(self) -> None:
        """Half-open: connections stay, and nothing passes in either direction."""
        self._flowing.clear()

    def swallow(self) -> None:
        """A black hole: connections of until now stay, and what they carry is lost silently.

        As a NAT or firewall does with those that were idle for too long; new ones are sound.
        """
        self._age += 1

    def heal(self) -> None:
        """As if nothing had been."""
        self._refusing = False
        self.delay = 0.0
        self._flowing.set()


class Liar(Proxy):
    """Says Success where the broker says that nobody is subscribed, as untruthful brokers do.

    Attributes:
        lies: how often it did.
    """

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.lies = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                writer.write(self._lied(await _packet(reader)))
                await writer.drain()
        writer.close()
        self._writers.discard(writer)

    def _lied(self, packet: bytes) -> bytes:
        """PUBACK: first byte, length, two bytes of the packet id, the reason (MQTT 5, 3.4)."""
        if packet[0] >> 4 != _PUBACK or len(packet) < 5 or packet[4] != _NO_MATCHING_SUBSCRIBERS:
            return packet
        self.lies += 1
        return packet[:4] + b"\0" + packet[5:]


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """One whole packet: its length stands in bytes of 7 bits, the lowest first (MQTT 5, 1.5.5)."""
    head = await reader.readexactly(1)
    length = shift = 0
    while shift == 0 or head[-1] & 0x80:
        head += await reader.readexactly(1)
        length |= (head[-1] & 0x7F) << shift
        shift += 7
    return head + await reader.readexactly(length)
