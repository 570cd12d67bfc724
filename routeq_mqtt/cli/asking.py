"""What most commands do: connect, ask one thing, leave."""

from __future__ import annotations

import contextlib
import getpass
import socket
from typing import TYPE_CHECKING, TypeVar

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.cli.common import run, settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.wire.messages.request import R, Request

_T = TypeVar("_T")


def name_asker(bus: Bus, program: str = "") -> None:
    """Let the audit log say which person asks: their login and host.

    Args:
        bus: that will ask.
        program: what they use, where that is more than one command.
    """
    with contextlib.suppress(OSError, KeyError, ImportError):  # a container may know no login
        name = f"{getpass.getuser()}@{socket.gethostname()}"
        bus.requests.asker = f"{program}: {name}" if program else name


def on_bus(url: str | None, act: Callable[[Bus], Awaitable[_T]]) -> _T:
    """Do something on a bus, and end the program with a clear line where that fails.

    Args:
        url: of the broker; default: the settings'.
        act: what to do, once connected.
    """

    async def main() -> _T:
        async with Bus(settings=settings(url)) as bus:
            name_asker(bus)
            return await act(bus)

    return run(main)


def on_first_use(
    url: str | None, act: Callable[[Bus], Awaitable[_T]], *, outbox: bool = False
) -> _T:
    """The same, but the bus connects only when `act` has something to send: it checks that first.

    Args:
        url: of the broker; default: the settings'.
        act: what to do.
        outbox: whether ``ROUTEQ_OUTBOX`` is used.
    """

    async def main() -> _T:
        bus = Bus(settings=settings(url, outbox=outbox))
        name_asker(bus)
        try:
            return await act(bus)
        finally:
            await bus.close()

    return run(main)


def ask(url: str | None, request: Request[R]) -> R:
    """Ask the scheduler, and give its reply."""
    return on_bus(url, lambda bus: bus.requests.ask(request))
