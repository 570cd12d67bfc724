"""Runs a dashboard by itself: a listening socket, uvicorn, and a clean end with streams open."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from routeq_mqtt.clock import SystemClock
from routeq_mqtt.dashboard.app import make
from routeq_mqtt.dashboard.http.login import Login
from routeq_mqtt.dashboard.http.sessions import Sessions
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.tasks import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from routeq_mqtt.bus.bus import Bus
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.dashboard.options import Options

_LEAVE_WITHIN = 2
"""Seconds that requests which run have to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passwords:
    """Of a dashboard that runs by itself; None: there is none."""

    operator: str | None = None
    viewer: str | None = None
    read_only: bool = False


class DashboardServer:
    """One dashboard that runs by itself.

    Args:
        bus: what to look at.
        bind: ``host:port``; port 0: any that is free.
        options: of the dashboard.
        passwords: without one, links with a token let in, each once, and only this machine may
            connect.
        announce: called with the link to open; without a password again whenever it was used.
        clock: where time comes from.

    Raises:
        ConfigurationError: `bind` makes no sense, is in use, or is open to others without a
            password.
    """

    def __init__(
        self,
        bus: Bus,
        bind: str,
        options: Options,
        *,
        passwords: Passwords | None = None,
        announce: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        chosen = passwords or Passwords()
        clock = clock or SystemClock()
        self.online: asyncio.Event = asyncio.Event()
        host, port = read_bind(bind)
        has_password = chosen.operator is not None or chosen.viewer is not None
        if not is_loopback(host) and not has_password:
            raise ConfigurationError(
                f"--bind={bind!r} is open to other machines: set a password with --password-file, "
                "or bind to 127.0.0.1 and use an SSH tunnel or a proxy that asks who it is"
            )
        self._socket = _listen(host, port, bind)
        self.port: int = int(self._socket.getsockname()[1])
        self._shown = f"[{host}]" if ":" in host else host
        sessions = Sessions(
            clock,
            password=chosen.operator,
            viewer_password=chosen.viewer,
            read_only=chosen.read_only,
            new_token=None if has_password else (lambda token: announce(self.url(token))),
        )
        if has_password:
            announce(self.url())
        self._app = make(bus, options, sessions.user, Login(sessions), clock)
        self._server = _Server(
            uvicorn.Config(
                self._app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=_LEAVE_WITHIN,
                limit_concurrency=500,
            )
        )

    def url(self, token: str = "") -> str:
        """Where the page is."""
        return f"http://{self._shown}:{self.port}/{f'?token={token}' if token else ''}"

    async def run(self) -> None:
        """Serve until `stop`."""
        async with Scope() as scope:
            serving = scope.start(self._server.serve(sockets=[self._socket]), "dashboard")
            scope.start(self._app.look(), "first-look")
            self.online.set()
            await serving

    def stop(self) -> None:
        """End: streams at once, other requests within 2 s."""
        self._app.close()
        self._server.should_exit = True


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's: it may run more than a dashboard."""
        yield


def read_bind(bind: str) -> tuple[str, int]:
    """Host and port of ``host:port``.

    Raises:
        ConfigurationError: it is no such thing.
    """
    host, colon, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigurationError(f"--bind={bind!r} is not host:port; write --bind 127.0.0.1:8080")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int, bind: str) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except OSError as error:
        raise ConfigurationError(
            f"--bind={bind!r} cannot be used: {error.strerror or error}; choose another port"
        ) from None
