"""A thread that does one thing after the other, for what blocks and belongs to one thread."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from routeq_mqtt.outbox.forking import Gate

P = ParamSpec("P")
T = TypeVar("T")

_Work = tuple[Future[Any], Callable[[], Any]]


class OneThread:
    """Runs calls in order. A daemon: a program that forgets to close it ends all the same.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._gate = Gate()
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in the thread. Once begun it runs to its end, also when the caller is cancelled."""
        future: Future[T] = Future()
        self._work.put((future, lambda: call(*args, **kwargs)))
        return await asyncio.wrap_future(future)

    def end(self) -> None:
        """End the thread behind what it was given."""
        self._work.put(None)

    def finish(self, call: Callable[[], Any] | None) -> None:
        """End the thread behind one more call, without waiting for it."""
        if call is not None:
            self._work.put((Future(), call))
        self.end()

    def _live(self) -> None:
        while (work := self._work.get()) is not None:
            future, call = work
            if not future.set_running_or_notify_cancel():
                continue
            try:
                with self._gate:
                    result = call()
            except BaseException as error:  # noqa: BLE001 - carried to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)
