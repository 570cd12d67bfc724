"""The bus for programs without an event loop: Flask, Django, scripts, GPIO callbacks."""

from __future__ import annotations

import functools
import weakref
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    TypeVar,
    Unpack,
    overload,
)

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.bus.default import engine_instead
from routeq_mqtt.bus.engine import Engine, Keeper
from routeq_mqtt.bus.features.handles import Handle
from routeq_mqtt.bus.features.manage import (
    DeviceRegistry,
    FailedJobs,
    QueueControl,
    Queues,
    Schedules,
    Triggers,
)
from routeq_mqtt.wire.names import check_queue_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from routeq_mqtt.bus.features.handles import JobHandle, JobStatus
    from routeq_mqtt.bus.send.arguments import DispatchOptions
    from routeq_mqtt.bus.send.runs import IsFunction, RunsAsync, RunsPlain
    from routeq_mqtt.outbox.options import OutboxOptions
    from routeq_mqtt.settings.settings import Settings
    from routeq_mqtt.wire.messages.replies import Fate

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


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


def _handled(
    method: Callable[Concatenate[Bus, P], Coroutine[Any, Any, JobHandle[Any]]],
) -> Callable[Concatenate[SyncBus, P], SyncJobHandle[Any]]:
    """As `_blocking`, of a method that returns a handle."""
    blocking = _blocking(method)

    @functools.wraps(method)
    def call(self: SyncBus, /, *args: P.args, **kwargs: P.kwargs) -> SyncJobHandle[Any]:
        return SyncJobHandle(blocking(self, *args, **kwargs), self)

    return call


class SyncJobHandle(Handle, Generic[R]):
    """A `JobHandle` whose methods block: what the methods of a `SyncBus` return.

    Attributes:
        id: of the job.
        handle: the same for programs with an event loop.
    """

    __slots__ = ("_bus", "handle")

    def __init__(self, handle: JobHandle[R], bus: SyncBus) -> None:
        self.id: str = handle.id
        self.handle: JobHandle[R] = handle
        self._bus = bus

    def result(self, timeout: float | None = None) -> R:
        """What `handle` returned, as soon as it has; see `JobHandle.result`."""
        return self._bus.result(self, timeout)

    def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait until the job has ended, however; see `Bus.wait`."""
        return self._bus.wait(self.handle, timeout)

    def status(self) -> JobStatus:
        """Where the job is; see `Bus.status`."""
        return self._bus.status(self.id)

    def cancel(self) -> Fate:
        """Cancel the job; see `Bus.cancel`."""
        return self._bus.cancel(self.id)


class SyncBus:
    """A `Bus` whose methods block: same names, arguments, defaults and errors.

    ``SyncBus("mqtt://host:1883").dispatch(job)``

    It connects on first use, in a background thread of its own, and disconnects when it is closed,
    when nothing refers to it any more, and when the program ends. Any thread may use it, and so may
    a process that was forked from this one: each process has its own connection. Do not use it
    inside an event loop, which it would block.

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
        bus.settings.addresses()  # a wrong URL fails here, not in a callback later
        # Its path is absolute from now on; the bus is made on first use, maybe after a chdir.
        options, settings = bus.outbox_options, bus.settings
        self._keeper = Keeper(lambda: Bus(outbox=options, settings=settings))
        # One that is dropped without `close` leaves no thread behind; the end has its own way.
        weakref.finalize(self, self._keeper.leave).atexit = False

    @property
    def engine(self) -> Engine[Bus]:
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

    @overload
    def dispatch(
        self, job: RunsAsync[R], **options: Unpack[DispatchOptions]
    ) -> SyncJobHandle[R]: ...
    @overload
    def dispatch(
        self, job: RunsPlain[R], **options: Unpack[DispatchOptions]
    ) -> SyncJobHandle[R]: ...
    def dispatch(
        self, job: RunsAsync[Any] | RunsPlain[Any], **options: Unpack[DispatchOptions]
    ) -> SyncJobHandle[Any]:
        """Send a job; takes and raises what `Bus.dispatch` does."""
        handle = self.engine.run(lambda bus: bus.dispatch(job, **options))
        return SyncJobHandle(handle, self)

    @overload
    def push(self, job: RunsAsync[R], queue: str | None = None) -> SyncJobHandle[R]: ...
    @overload
    def push(self, job: RunsPlain[R], queue: str | None = None) -> SyncJobHandle[R]: ...
    def push(
        self, job: RunsAsync[Any] | RunsPlain[Any], queue: str | None = None
    ) -> SyncJobHandle[Any]:
        """Send a job now; see `Bus.push`."""
        return SyncJobHandle(self.engine.run(lambda bus: bus.push(job, queue)), self)

    @overload
    def later(
        self, when: float | datetime, job: RunsAsync[R], queue: str | None = None
    ) -> SyncJobHandle[R]: ...
    @overload
    def later(
        self, when: float | datetime, job: RunsPlain[R], queue: str | None = None
    ) -> SyncJobHandle[R]: ...
    def later(
        self,
        when: float | datetime,
        job: RunsAsync[Any] | RunsPlain[Any],
        queue: str | None = None,
    ) -> SyncJobHandle[Any]:
        """Send a job that runs `when`: in seconds from now, or a datetime; see `Bus.later`."""
        return SyncJobHandle(self.engine.run(lambda bus: bus.later(when, job, queue)), self)

    @overload
    def handle(self, job_id: str, job: IsFunction[R]) -> SyncJobHandle[R]: ...
    @overload
    def handle(self, job_id: str, job: Callable[..., RunsAsync[R]]) -> SyncJobHandle[R]: ...
    @overload
    def handle(self, job_id: str, job: Callable[..., RunsPlain[R]]) -> SyncJobHandle[R]: ...
    @overload
    def handle(self, job_id: str) -> SyncJobHandle[Any]: ...
    def handle(self, job_id: str, job: Any = None) -> SyncJobHandle[Any]:
        """A handle of a job that was dispatched before, or elsewhere; see `Bus.handle`."""
        return SyncJobHandle(self.engine.bus.handle(job_id, job), self)

    @overload
    def result(self, job_id: SyncJobHandle[R], timeout: float | None = None) -> R: ...
    @overload
    def result(self, job_id: str | Handle, timeout: float | None = None) -> Any: ...  # noqa: ANN401
    def result(self, job_id: str | Handle, timeout: float | None = None) -> Any:
        """What a job's `handle` returned, as soon as it has; see `Bus.result`."""
        job = job_id.handle if isinstance(job_id, SyncJobHandle) else job_id
        return self.engine.run(lambda bus: bus.result(job, timeout))

    @property
    def failed(self) -> SyncFailedJobs:
        """Failed records; see `Bus.failed`."""
        return SyncFailedJobs(self)

    @property
    def schedules(self) -> SyncSchedules:
        """Schedules; see `Bus.schedules`."""
        return SyncSchedules(self)

    @property
    def triggers(self) -> SyncTriggers:
        """Triggers; see `Bus.triggers`."""
        return SyncTriggers(self)

    @property
    def queues(self) -> SyncQueues:
        """Queues by name: ``bus.queues["mail"].pause()``."""
        return SyncQueues(self)

    @property
    def devices(self) -> SyncDeviceRegistry:
        """Devices; see `Bus.devices`."""
        return SyncDeviceRegistry(self)

    open: Final = _blocking(Bus.open)
    dispatch_named: Final = _handled(Bus.dispatch_named)
    bulk: Final = _blocking(Bus.bulk)
    wait: Final = _blocking(Bus.wait)
    status: Final = _blocking(Bus.status)
    size: Final = _blocking(Bus.size)
    stats: Final = _blocking(Bus.stats)
    cancel: Final = _blocking(Bus.cancel)
    pause: Final = _blocking(Bus.pause)
    resume: Final = _blocking(Bus.resume)
    limit_queue: Final = _blocking(Bus.limit_queue)
    purge: Final = _blocking(Bus.purge)
    drain: Final = _blocking(Bus.drain)
    undrain: Final = _blocking(Bus.undrain)
    dispatch_chain: Final = _blocking(Bus.dispatch_chain)
    dispatch_batch: Final = _blocking(Bus.dispatch_batch)
    batch_progress: Final = _blocking(Bus.batch_progress)
    cancel_batch: Final = _blocking(Bus.cancel_batch)
    add_to_batch: Final = _blocking(Bus.add_to_batch)
    workers: Final = _blocking(Bus.workers)
    broadcast: Final = _blocking(Bus.broadcast)
    broadcast_named: Final = _blocking(Bus.broadcast_named)
    rollout_progress: Final = _blocking(Bus.rollout_progress)
    cancel_rollout: Final = _blocking(Bus.cancel_rollout)


class _Part:
    """A part of a `SyncBus`."""

    def __init__(self, bus: SyncBus) -> None:
        self._bus = bus

    def _of(self, bus: Bus) -> Any:  # noqa: ANN401 - the part of a `Bus`
        raise NotImplementedError


def _part(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[_Part, P], T]:
    """A method of a part of a bus that returns when its coroutine has ended."""

    @functools.wraps(method)
    def call(self: _Part, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._bus.engine.run(lambda bus: method(self._of(bus), *args, **kwargs))

    return call


class SyncFailedJobs(_Part):
    """`FailedJobs` whose methods block."""

    def _of(self, bus: Bus) -> FailedJobs:
        return bus.failed

    list: Final = _part(FailedJobs.list)
    show: Final = _part(FailedJobs.show)
    retry: Final = _part(FailedJobs.retry)
    forget: Final = _part(FailedJobs.forget)
    flush: Final = _part(FailedJobs.flush)


class SyncSchedules(_Part):
    """`Schedules` whose methods block."""

    def _of(self, bus: Bus) -> Schedules:
        return bus.schedules

    list: Final = _part(Schedules.list)
    run: Final = _part(Schedules.run)
    pause: Final = _part(Schedules.pause)
    resume: Final = _part(Schedules.resume)
    forget: Final = _part(Schedules.forget)


class SyncTriggers(_Part):
    """`Triggers` whose methods block."""

    def _of(self, bus: Bus) -> Triggers:
        return bus.triggers

    list: Final = _part(Triggers.list)
    forget: Final = _part(Triggers.forget)


class SyncQueues(_Part):
    """`Queues` whose methods block."""

    def _of(self, bus: Bus) -> Queues:
        return bus.queues

    def __getitem__(self, name: str) -> SyncQueueControl:
        return SyncQueueControl(self._bus, name)

    sizes: Final = _part(Queues.sizes)


class SyncQueueControl(_Part):
    """`QueueControl` whose methods block."""

    def __init__(self, bus: SyncBus, name: str) -> None:
        super().__init__(bus)
        check_queue_name(name, "queues[…]: name")
        self.name = name

    def _of(self, bus: Bus) -> QueueControl:
        return bus.queues[self.name]

    size: Final = _part(QueueControl.size)
    pause: Final = _part(QueueControl.pause)
    resume: Final = _part(QueueControl.resume)
    purge: Final = _part(QueueControl.purge)
    limit: Final = _part(QueueControl.limit)


class SyncDeviceRegistry(_Part):
    """`DeviceRegistry` whose methods block."""

    def _of(self, bus: Bus) -> DeviceRegistry:
        return bus.devices

    __call__: Final = _part(DeviceRegistry.__call__)
    list: Final = _part(DeviceRegistry.list)
    forget: Final = _part(DeviceRegistry.forget)
