"""An event loop in a thread: started on first use, ended with the program, new after a fork."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

from routeq_mqtt.errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from routeq_mqtt.bus.bus import Bus

P = ParamSpec("P")
T = TypeVar("T")

_LEAVE_WITHIN = 10.0
"""Seconds that the end of a program waits for the bus to close, whatever holds it up."""


class Engine:
    """One bus, its event loop and their thread.

    Args:
        make: makes the bus.
    """

    def __init__(self, make: Callable[[], Bus]) -> None:
        self.bus = make()
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_Threads(max_workers=1))
        self._lock = threading.RLock()  # a signal handler may come in between
        self._closed = False
        # A daemon, since the interpreter waits for any other thread before `atexit` can end it.
        self._thread = threading.Thread(target=self._live, name="routeq-bus", daemon=True)
        self._thread.start()

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def run(
        self,
        method: Callable[Concatenate[Bus, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a method of the bus in the loop and wait for its result.

        Raises:
            RuntimeError: called from the loop's own thread, which would wait for itself.
            ConnectionLost: the bus was closed meanwhile; a job may have arrived.
        """
        if threading.get_ident() == self._thread.ident:
            raise RuntimeError("a SyncBus cannot be used from its own thread; use a Bus there")
        with self._lock:
            if self._closed:
                raise ConnectionLost("the bus was closed by another thread; nothing was sent")
            future = asyncio.run_coroutine_threadsafe(method(self.bus, *args, **kwargs), self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise ConnectionLost(
                "the bus was closed before the answer came; the message may have arrived"
            ) from None
        except BaseException:
            future.cancel()  # Ctrl-C: nobody waits any more
            raise

    def close(self) -> None:
        """Close the bus, then the loop, then the thread. Idempotent."""
        with self._lock:
            first, self._closed = not self._closed, True
        if first:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(_LEAVE_WITHIN)

    async def _end(self) -> None:
        try:
            await self.bus.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        finally:
            # Behind the callbacks that tell the other threads how their calls ended.
            self._loop.call_soon(self._loop.stop)


class Keeper:
    """Gives each process its engine.

    Args:
        make: makes a bus.
    """

    def __init__(self, make: Callable[[], Bus]) -> None:
        self._make = make
        self._engine: Engine | None = None
        self._lock = threading.RLock()  # a signal handler may come in between
        _keepers.add(self)

    def engine(self) -> Engine:
        """The engine of this process."""
        with self._lock:
            if self._engine is None:
                self._engine = Engine(self._make)
            return self._engine

    def close(self) -> None:
        """End the engine, if there is one."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def forget(self) -> None:
        """After a fork: the engine is the parent's, its thread and our lock do not work here."""
        if self._engine is not None:
            _of_parents.append(self._engine)
        self._engine = None
        self._lock = threading.RLock()


_keepers: WeakSet[Keeper] = WeakSet()

_of_parents: list[Engine] = []
"""Kept, so that no destructor touches what a parent process still uses."""


def _after_fork() -> None:
    for keeper in list(_keepers):
        keeper.forget()


def _at_exit() -> None:
    for keeper in list(_keepers):
        keeper.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)


class _Threads(concurrent.futures.ThreadPoolExecutor):
    """A thread for each call.

    A program's other threads go on after its main thread has ended, but a common pool refuses
    work from then on, and so nobody could connect any more.
    """

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        """Call `fn` in a thread of its own."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - carried to whoever waits
                future.set_exception(error)

        threading.Thread(target=work, name="routeq-bus-call", daemon=True).start()
        return future
