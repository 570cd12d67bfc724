"""What becomes of a bus whose event loop ends before anybody closes it.

``asyncio.run(dispatch(job))`` ends its loop with the call, and so does each request of an async
view in Flask, or in Django under WSGI. Python closes the asynchronous generators of a loop that
ends (`loop.shutdown_asyncgens`): one for each loop waits for that, and closes its buses then.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from routeq_mqtt.bus.engine import Keeper
from routeq_mqtt.errors import RouteqError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

log: logging.Logger = logging.getLogger(__name__)


class Tended(Protocol):
    """A bus, as far as this goes."""

    async def close_with_loop(self) -> None:
        """The loop ends: disconnect."""

    def abandon(self) -> None:
        """The loop has ended already: free what can be freed without it."""


class _Opens(Protocol):
    async def open(self) -> None: ...
    async def close(self) -> None: ...


class _Home:
    """The buses of one event loop."""

    def __init__(self) -> None:
        self.buses: set[Tended] = set()
        self._generator = self._until_the_end()
        with contextlib.suppress(StopIteration):
            self._generator.__anext__().send(None)  # up to its `yield`, without a task

    async def _until_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            while self.buses:
                try:
                    await self.buses.pop().close_with_loop()
                except RouteqError as error:
                    log.warning("a bus could not be closed with its event loop error=%s", error)
            for _ in range(2):  # what was cancelled last ends, too
                await asyncio.sleep(0)


_homes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Home] = WeakKeyDictionary()
_lock = threading.RLock()


def tend(bus: Tended) -> None:
    """Close `bus` with the running event loop, unless it is closed before."""
    loop = asyncio.get_running_loop()
    with _lock:
        home = _homes.get(loop)
        if home is None:
            _sweep()
            home = _homes[loop] = _Home()
        home.buses.add(bus)


def let_go(bus: Tended) -> None:
    """It was closed."""
    with _lock:
        for home in list(_homes.values()):
            home.buses.discard(bus)


def _sweep() -> None:
    """Loops that were closed without closing their generators."""
    for loop, home in list(_homes.items()):
        if loop.is_closed():
            del _homes[loop]
            for bus in home.buses:
                bus.abandon()


_senders: dict[Path, Keeper[_Opens]] = {}


def send_the_rest(path: Path, make: Callable[[], _Opens]) -> None:
    """Have this process send what an outbox holds, in a thread, for as long as it lives.

    Args:
        path: of the outbox.
        make: a bus with this outbox.
    """
    with _lock:
        keeper = _senders.get(path)
        if keeper is None:
            keeper = _senders[path] = Keeper(make)
    keeper.engine().begin(_open)


async def _open(bus: _Opens) -> None:
    try:
        await bus.open()
    except RouteqError as error:
        log.error("jobs stay in the outbox error=%s", error)


def _after_fork() -> None:
    """The loops are the parent's, and its lock may be held here for ever."""
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()
    _homes.clear()


os.register_at_fork(after_in_child=_after_fork)
# Before the engines close (the last one registered runs first): a loop that was closed in one go
# may still hold the lock of an outbox that they are to send.
atexit.register(_sweep)
