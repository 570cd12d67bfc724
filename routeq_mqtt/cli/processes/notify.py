"""Tells systemd how a service is: sd_notify(3), without its library.

READY=1 once the service is online, STOPPING=1 when it leaves, and WATCHDOG=1 twice per interval,
sent from the event loop that does the work: a loop that hangs is silent, and systemd kills it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING

from routeq_mqtt.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

log: logging.Logger = logging.getLogger(__name__)

_MICROSECONDS = 1_000_000


class Notifier:
    """Sends to the socket that systemd named; does nothing where it named none.

    Args:
        environment: where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are read; default: ours.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        self._address = env.get("NOTIFY_SOCKET", "")
        meant = env.get("WATCHDOG_PID") in {None, "", str(os.getpid())}
        usec = env.get("WATCHDOG_USEC", "")
        self.interval: float | None = (
            int(usec) / _MICROSECONDS / 2 if meant and usec.isdigit() else None
        )
        """Seconds between two signs of life; None: no watchdog is set."""

    def send(self, state: str) -> None:
        """Send one state; what cannot be sent stops nothing."""
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):  # an abstract socket
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as there:
                there.setblocking(False)
                there.sendto(state.encode(), address)
        except OSError as error:
            log.warning("systemd was not notified of %s: %s", state, error)


@contextlib.asynccontextmanager
async def notifying(
    online: asyncio.Event,
    notifier: Notifier | None = None,
    *,
    alive: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[None]:
    """Tell systemd of the service that runs inside, from this event loop.

    Args:
        online: set once the service does its work.
        notifier: default: what the environment says.
        alive: awaited before each sign of life: of whatever must live besides this loop.
    """
    notifier = notifier or Notifier()
    tasks, interval = Tasks(), notifier.interval
    tasks.start(_when_online(online, notifier), "notify-ready")
    if interval:
        tasks.keep(lambda: _beat(notifier, interval, alive), "notify-alive")
    try:
        yield
    finally:
        notifier.send("STOPPING=1")
        await tasks.close()


async def _when_online(online: asyncio.Event, notifier: Notifier) -> None:
    await online.wait()
    notifier.send("READY=1")


async def _beat(
    notifier: Notifier, interval: float, alive: Callable[[], Awaitable[None]] | None
) -> None:
    while True:
        if alive is not None:
            await alive()
        notifier.send("WATCHDOG=1")
        await asyncio.sleep(interval)
