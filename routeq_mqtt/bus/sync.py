"""The bus for programs without an event loop: Flask, Django, scripts, GPIO callbacks."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.bus.default import engine_instead
from routeq_mqtt.bus.engine import Engine, Keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from types import TracebackType

    from routeq_mqtt.outbox.options import OutboxOptions
    from routeq_mqtt.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[Bus, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncBus, P], T]:
    """A method of `Bus` that returns when its coroutine has ended."""

    def work(bus: Bus, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        # By its name: a bus that stands in for tests has methods of its own.
        found: Coroutine[Any, Any, T] = getattr(bus, method.__name__)(*args, **kwargs)
        return found

    @functools.wraps(method)
    def call(self: SyncBus, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.engine.run(work, *args, **kwargs)

    return call


class SyncBus:
    """A `Bus` whose methods block: same names, arguments, defaults and errors.

    ``SyncBus("mqtt://host:1883").dispatch(job)``

    It connects on first use, in a background thread of its own, and disconnects when the program
    ends. Any thread may use it, and so may a process that was forked from this one: each process
    has its own connection. Do not use it inside an event loop, which it would block.

    Args:
        url: of the broker; default: that of `settings`, ``ROUTEQ_URL``, else ``mqtt://127.0.0.1:1883``.
        outbox: as for `Bus`; default ``ROUTEQ_OUTBOX``, else none.
        settings: everything else; default: from the environment.

    Raises:
        ConfigurationError: a setting makes no sense; names it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        outbox: str | Path | OutboxOptions | None = None,
        settings: Settings | None = None,
    ) -> None:
        bus = Bus(url, outbox=outbox, settings=settings)
        bus.settings.address()  # a wrong URL fails here, not in a callback later
        self._keeper = Keeper(lambda: Bus(outbox=outbox, settings=bus.settings))

    @property
    def engine(self) -> Engine:
        """The thread that does the work in this process; started on first use."""
        return engine_instead() or self._keeper.engine()

    def __enter__(self) -> SyncBus:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect and end the thread. Using the bus again connects again.

        What other threads wait for meanwhile ends with `ConnectionLost`.
        """
        self._keeper.close()

    open = _blocking(Bus.open)
    dispatch = _blocking(Bus.dispatch)
    dispatch_named = _blocking(Bus.dispatch_named)
    push = _blocking(Bus.push)
    later = _blocking(Bus.later)
    bulk = _blocking(Bus.bulk)
    result = _blocking(Bus.result)
    status = _blocking(Bus.status)
    size = _blocking(Bus.size)
    stats = _blocking(Bus.stats)
    cancel = _blocking(Bus.cancel)
    pause = _blocking(Bus.pause)
    resume = _blocking(Bus.resume)
    limit_queue = _blocking(Bus.limit_queue)
    purge = _blocking(Bus.purge)
    drain = _blocking(Bus.drain)
    undrain = _blocking(Bus.undrain)
    dispatch_chain = _blocking(Bus.dispatch_chain)
    dispatch_batch = _blocking(Bus.dispatch_batch)
    batch_progress = _blocking(Bus.batch_progress)
    cancel_batch = _blocking(Bus.cancel_batch)
    add_to_batch = _blocking(Bus.add_to_batch)
    devices = _blocking(Bus.devices)
    broadcast = _blocking(Bus.broadcast)
    broadcast_named = _blocking(Bus.broadcast_named)
    rollout_progress = _blocking(Bus.rollout_progress)
    cancel_rollout = _blocking(Bus.cancel_rollout)
