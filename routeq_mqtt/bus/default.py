"""The default bus of a program: opened on first use, configured from the environment."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload
from weakref import WeakKeyDictionary

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.bus.engine import Engine, Keeper

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from routeq_mqtt.bus.features.handles import JobHandle
    from routeq_mqtt.bus.features.queue_size import QueueSize
    from routeq_mqtt.bus.send.arguments import DispatchOptions
    from routeq_mqtt.bus.send.runs import RunsAsync, RunsPlain
    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.outbox.options import Confirm

R = TypeVar("R")

_buses: WeakKeyDictionary[asyncio.AbstractEventLoop, Bus] = WeakKeyDictionary()

_instead: list[tuple[Bus, Keeper[Bus]]] = []
"""What stands in for every bus of the process, the latest last; see `routeq_mqtt.testing.fake`."""


@contextmanager
def stand_in(bus: Bus) -> Iterator[None]:
    """While it lasts, `bus` is the default of every event loop, and what every `SyncBus` uses.

    Args:
        bus: one that may be used in any event loop.
    """
    keeper = Keeper(lambda: bus)
    _instead.append((bus, keeper))
    try:
        yield
    finally:
        _instead.remove((bus, keeper))
        keeper.close()


def engine_instead() -> Engine[Bus] | None:
    """The engine of what stands in for the bus of a `SyncBus`, if something does."""
    return _instead[-1][1].engine() if _instead else None


def default_bus() -> Bus:
    """The bus of the running event loop, from ``ROUTEQ_URL`` and the other settings."""
    if _instead:
        return _instead[-1][0]
    loop = asyncio.get_running_loop()
    bus = _buses.get(loop)
    if bus is None:
        for ended in [other for other in list(_buses) if other.is_closed()]:
            _buses.pop(ended, None)  # each refers to its loop, so it would stay for ever
        bus = _buses[loop] = Bus()
    return bus


def use_bus(bus: Bus) -> None:
    """Make `bus` the default of the running event loop."""
    _buses[asyncio.get_running_loop()] = bus


async def close_default_bus() -> None:
    """Disconnect the default bus of the running event loop, if it was used."""
    bus = _buses.pop(asyncio.get_running_loop(), None)
    if bus is not None:
        await bus.close()


@overload
async def dispatch(job: RunsAsync[R], **options: Unpack[DispatchOptions]) -> JobHandle[R]: ...
@overload
async def dispatch(job: RunsPlain[R], **options: Unpack[DispatchOptions]) -> JobHandle[R]: ...
async def dispatch(
    job: RunsAsync[Any] | RunsPlain[Any], **options: Unpack[DispatchOptions]
) -> JobHandle[Any]:
    """Send a job on the default bus; takes and raises what `Bus.dispatch` does."""
    return await default_bus().dispatch(job, **options)


class Queue:
    """The queue manager: the default bus under the names that Laravel's users know."""

    @overload
    async def push(self, job: RunsAsync[R], queue: str | None = None) -> JobHandle[R]: ...
    @overload
    async def push(self, job: RunsPlain[R], queue: str | None = None) -> JobHandle[R]: ...
    async def push(
        self, job: RunsAsync[Any] | RunsPlain[Any], queue: str | None = None
    ) -> JobHandle[Any]:
        """Send a job now; see `Bus.dispatch`."""
        return await default_bus().push(job, queue)

    @overload
    async def later(
        self, when: float | datetime, job: RunsAsync[R], queue: str | None = None
    ) -> JobHandle[R]: ...
    @overload
    async def later(
        self, when: float | datetime, job: RunsPlain[R], queue: str | None = None
    ) -> JobHandle[R]: ...
    async def later(
        self,
        when: float | datetime,
        job: RunsAsync[Any] | RunsPlain[Any],
        queue: str | None = None,
    ) -> JobHandle[Any]:
        """Send a job that runs in `when` seconds, or at the datetime `when`."""
        return await default_bus().later(when, job, queue)

    async def bulk(
        self,
        jobs: Iterable[Job],
        queue: str | None = None,
        *,
        confirm: Confirm | None = None,
        timeout: float | None = None,
    ) -> list[str]:
        """Send many jobs, pipelined; their ids, in order. See `Bus.bulk`."""
        return await default_bus().bulk(jobs, queue, confirm=confirm, timeout=timeout)

    async def size(self, name: str = "default") -> QueueSize:
        """How many jobs the bus can see."""
        return await default_bus().size(name)

    async def stats(self, name: str = "default") -> dict[str, Any]:
        """`size` as a plain map."""
        return await default_bus().stats(name)


queue: Queue = Queue()
