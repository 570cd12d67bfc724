"""An event loop in a thread: started on first use, ended with the program, new after a fork."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar
from weakref import WeakSet

from routeq_mqtt.errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")
T = TypeVar("T")


class Closes(Protocol):
    """What an engine runs: a bus."""

    async def close(self) -> None:
        """Disconnect."""


B = TypeVar("B", bound=Closes)

_LEAVE_WITHIN = 10.0
"""Seconds that the end of a program waits for the bus to close, whatever holds it up."""


class Engine(Generic[B]):
    """One bus, its event loop and their thread.

    Args:
        make: makes the bus.
    """

    def __init__(self, make: Callable[[], B]) -> None:
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
            _leaving.discard(self)

    def run(
        self,
        method: Callable[Concatenate[B, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a method of the bus in the loop and wait for its result.

        Raises:
            RuntimeError: called from the loop's own thread, which would wait for itself.
            ConnectionLost: the bus was closed meanwhile; a job may have arrived. Also at the very
                end of the interpreter, where no other thread runs any more.
        """
        _refuse_at_the_end()
        if threading.get_ident() == self._thread.ident:
            raise RuntimeError("a SyncBus cannot be used from its own thread; use a Bus there")
        future = self.begin(method, *args, **kwargs)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise ConnectionLost(
                "the bus was closed before the answer came; the message may have arrived"
            ) from None
        except BaseException:
            future.cancel()  # Ctrl-C: nobody waits any more
            raise

    def begin(
        self,
        method: Callable[Concatenate[B, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> concurrent.futures.Future[T]:
        """Run a method of the bus in the loop, and do not wait for it."""
        with self._lock:
            if self._closed:
                raise ConnectionLost("the bus was closed by another thread; nothing was sent")
            return asyncio.run_coroutine_threadsafe(method(self.bus, *args, **kwargs), self._loop)

    def close(self) -> None:
        """Close the bus, then the loop, then the thread. Idempotent."""
        self.leave()
        if not sys.is_finalizing():
            self._thread.join(_LEAVE_WITHIN)

    def leave(self) -> None:
        """`close`, without waiting for it: the garbage collector calls this, in any thread."""
        with self._lock:
            first, self._closed = not self._closed, True
        if first and not sys.is_finalizing():
            _leaving.add(self)
            asyncio.run_coroutine_threadsafe(self._end(), self._loop)

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


class Keeper(Generic[B]):
    """Gives each process its engine.

    Args:
        make: makes a bus.
    """

    def __init__(self, make: Callable[[], B]) -> None:
        self._make = make
        self._engine: Engine[B] | None = None
        self._lock = threading.RLock()  # a signal handler may come in between
        _keepers.add(self)

    def engine(self) -> Engine[B]:
        """The engine of this process.

        Raises:
            ConnectionLost: the interpreter ends, and starts no thread any more.
        """
        _refuse_at_the_end()
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

    def leave(self) -> None:
        """`close`, without waiting for it; the end of the program does."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.leave()

    def forget(self) -> None:
        """After a fork: the engine is the parent's, its thread and our lock do not work here."""
        if self._engine is not None:
            _of_parents.append(self._engine)
        self._engine = None
        self._lock = threading.RLock()


_keepers: WeakSet[Keeper[Any]] = WeakSet()

_leaving: set[Engine[Any]] = set()
"""Engines that close in the background."""

_of_parents: list[Engine[Any]] = []
"""Kept, so that no destructor touches what a parent process still uses."""


def _after_fork() -> None:
    _of_parents.extend(_leaving)
    _leaving.clear()
    for keeper in list(_keepers):
        keeper.forget()


def _at_exit() -> None:
    for keeper in list(_keepers):
        keeper.close()
    for engine in list(_leaving):
        engine.close()


def _refuse_at_the_end() -> None:
    """A destructor that runs when the interpreter ends would wait for a thread that never runs."""
    if sys.is_finalizing():
        raise ConnectionLost("the interpreter is ending, so nothing was sent")


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)


class _Threads(concurrent.futures.ThreadPoolExecutor):
    """A thread for each call.

    A program's other threads go on after its main thread has ended, but a common pool refuses
    work from then on, so no further connect would be possible.
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
