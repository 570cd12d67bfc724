"""Where the broker listens: TCP, TLS, websockets and unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from routeq_broker.errors import AddressInUse, BrokerError
from routeq_broker.network.websocket import Websocket

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from routeq_broker.network.connection import Connection

_SCHEMES = {
    "mqtt": (False, False), "mqtts": (False, True), "ws": (True, False), "wss": (True, True),
}  # fmt: skip
_BACKLOG = 1_024


@dataclass(frozen=True, slots=True)
class Address:
    """One place to listen at.

    Attributes:
        host, port: of TCP; port 0: a free one.
        path: of a unix socket; None: it is TCP.
        websocket: MQTT comes in websocket frames.
        tls: encrypted; None: where the broker has a certificate.
    """

    host: str = ""
    port: int = 0
    path: Path | None = None
    websocket: bool = False
    tls: bool | None = None

    @classmethod
    def parse(cls, text: str, *, websocket: bool = False) -> Address:
        """``127.0.0.1:1883``, ``mqtts://0.0.0.0:8883``, ``ws://[::1]:9001`` or ``unix:/path``.

        Args:
            text: as above; without a scheme it is encrypted where the broker has a certificate.
            websocket: what an address without a scheme is.

        Raises:
            BrokerError: it is not one of these.
        """
        if text.startswith("unix:") and len(text) > len("unix:"):
            return cls(path=Path(text.removeprefix("unix:")))
        scheme, slashes, rest = text.partition("://")
        tls = None
        if slashes and scheme in _SCHEMES:
            websocket, tls = _SCHEMES[scheme]
        else:
            rest = text
        host, colon, port = rest.rpartition(":")
        if not colon or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
            raise BrokerError(f"bind={text!r} is not an address; write it as 127.0.0.1:1883")
        return cls(host.strip("[]") or "127.0.0.1", int(port), websocket=websocket, tls=tls)

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine reach it."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path is not None else f"{self.host}:{self.port}"


class Listeners:
    """All places that one broker listens at.

    Args:
        addresses: of them; the first one is the broker's `port`.
        connection: makes one for each client.
        tls: for those that are encrypted.
        allows: which origins of web pages may connect.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        connection: Callable[[], Connection],
        *,
        tls: ssl.SSLContext | None,
        allows: Callable[[str | None, str], bool],
    ) -> None:
        self._addresses = tuple(addresses)
        self._connection = connection
        self._tls = tls
        self._allows = allows
        self._servers: list[asyncio.Server] = []

    @property
    def ports(self) -> list[int]:
        """Of each address the port that is listened on; 0 for a unix socket."""
        ports = []
        for address, server in zip(self._addresses, self._servers, strict=False):
            unix = address.path is not None or not server.sockets
            ports.append(0 if unix else int(server.sockets[0].getsockname()[1]))
        return ports

    async def open(self) -> None:
        """Listen everywhere.

        Raises:
            AddressInUse: at one it is not possible; then at none.
            BrokerError: one is to be encrypted, and there is no certificate.
        """
        for address in self._addresses:
            if address.tls and self._tls is None:
                self.close()
                raise BrokerError(f"{address} needs a certificate: --tls-cert")
            try:
                self._servers.append(await self._open(address))
            except OSError as error:
                self.close()
                raise AddressInUse(f"cannot listen on {address}: {error}") from None

    async def _open(self, address: Address) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        tls = None if address.tls is False or address.path is not None else self._tls
        if address.path is not None:
            _remove_stale(address.path)
            return await loop.create_unix_server(self._connection, address.path, backlog=_BACKLOG)
        make = self._websocket if address.websocket else self._connection
        return await loop.create_server(make, address.host, address.port, ssl=tls, backlog=_BACKLOG)

    def _websocket(self) -> Websocket:
        return Websocket(self._connection(), self._allows)

    def close(self) -> None:
        """Accept no more connections."""
        for server in self._servers:
            server.close()
        for address in self._addresses[: len(self._servers)]:
            if address.path is not None:
                with contextlib.suppress(OSError):
                    address.path.unlink()

    async def closed(self) -> None:
        """Wait until all is closed."""
        for server in self._servers:
            await server.wait_closed()


def _remove_stale(path: Path) -> None:
    """A socket that a killed broker left behind; one that answers is in use."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError:
            return
        else:
            raise OSError(f"another program listens on {path}")


class Origins:
    """Which web pages may connect: a browser lets any page open a websocket to any host.

    Args:
        allowed: origins (``https://panel.example``), ``*`` for all; empty: pages of the broker's
            own host and of this machine, and everybody where the broker asks for a login.
        asks: whether clients must log in.
    """

    def __init__(self, allowed: Sequence[str], asks: Callable[[], bool]) -> None:
        self._allowed = frozenset(allowed)
        self._asks = asks

    def __call__(self, origin: str | None, host: str) -> bool:
        """Whether a page of an origin may connect to a host; None: no browser."""
        if origin is None or "*" in self._allowed or origin in self._allowed:
            return True
        if self._allowed:
            return False
        if self._asks():
            return True
        name = urlsplit(origin).hostname
        return name is not None and (
            name in {"localhost", "127.0.0.1", "::1"} or name == urlsplit(f"//{host}").hostname
        )
