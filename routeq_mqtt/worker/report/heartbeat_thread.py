"""Runs a worker's `Presence` in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from routeq_mqtt.worker.report.heartbeat import Presence

if TYPE_CHECKING:
    from concurrent.futures import Future

    from routeq_mqtt.presence.status import WorkerState

_T = TypeVar("_T")

_PULSE_EVERY = 1.0


class Present(Protocol):
    """What a worker needs of its presence, in a thread or not."""

    async def lease(self) -> bool:
        """Whether the sessions are still ours."""
        ...

    @property
    def sound_until(self) -> float:
        """Until then (monotonic seconds) the sessions are surely ours."""
        ...

    def joined(self) -> None:
        """A session has joined its group."""
        ...

    async def leave(self, state: WorkerState | None) -> None:
        """Say why we go, and go."""
        ...


Make = Callable[[Callable[[], None], Callable[[], float]], Presence]


class PresenceThread:
    """A `Present` in a thread of its own.

    Args:
        make: builds the presence, given what to call when it is fenced and where to read the
            seconds since the worker's loop last gave a sign of life; called in the thread.
        fenced: called in the worker's loop when the sessions were adopted.
    """

    def __init__(self, make: Make, fenced: Callable[[], None]) -> None:
        self._make = make
        self._fenced = fenced
        self._worker_loop = asyncio.get_running_loop()
        self._alive_at = time.monotonic()
        self._loop = asyncio.new_event_loop()
        self._presence: Presence | None = None
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()
        self._pulse = self._worker_loop.call_later(_PULSE_EVERY, self._beat)

    def _beat(self) -> None:
        # Only written here, only read there: a float needs no lock.
        self._alive_at = time.monotonic()
        self._pulse = self._worker_loop.call_later(_PULSE_EVERY, self._beat)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._start)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _start(self) -> None:
        self._presence = self._make(
            lambda: self._soon(self._fenced), lambda: time.monotonic() - self._alive_at
        )
        self._presence.start()

    def _soon(self, callback: Callable[[], None]) -> None:
        if not self._worker_loop.is_closed():
            self._worker_loop.call_soon_threadsafe(callback)

    async def _there(self, call: Callable[[Presence], Coroutine[Any, Any, _T]]) -> _T:
        async def run() -> _T:
            assert self._presence is not None  # noqa: S101 - `_start` ran first
            return await call(self._presence)

        future: Future[_T] = asyncio.run_coroutine_threadsafe(run(), self._loop)
        return await asyncio.wrap_future(future)

    async def lease(self) -> bool:
        """Whether the sessions are still ours."""
        return await self._there(lambda presence: presence.lease())

    @property
    def sound_until(self) -> float:
        """Until then (monotonic seconds) the sessions are surely ours."""
        # Only written there, only read here.
        return self._presence.sound_until if self._presence is not None else float("-inf")

    def joined(self) -> None:
        """A session has joined its group."""

        def tell() -> None:
            if self._presence is not None:
                self._presence.joined()

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(tell)

    async def leave(self, state: WorkerState | None) -> None:
        """Say why we go, and end the thread."""
        self._pulse.cancel()
        try:
            await asyncio.wait_for(self._there(lambda presence: presence.leave(state)), 5.0)
        except TimeoutError:
            pass
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join, 5.0)
