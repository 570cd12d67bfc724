"""What a bus manages: failed records, schedules, triggers, queues, workers, devices."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from routeq_mqtt.bus.send.arguments import check_job_id
from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.imports import LateModule
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.names import check_queue_name

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator

    from routeq_mqtt.bus.features.handles import Handle
    from routeq_mqtt.bus.features.queue_size import QueueSize, Sizes
    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.presence.fleet import Member
    from routeq_mqtt.security.guard import Guard
    from routeq_mqtt.wire.messages import requests
    from routeq_mqtt.wire.messages.replies import (
        FailedShort,
        FailedShown,
        Retried,
        ScheduleShown,
        TriggerShown,
    )
else:
    requests = LateModule("routeq_mqtt.wire.messages.requests")

_PAGE = 500
_MOST = 1_000


class ManagedBus(Protocol):
    """What the parts of a bus need of it."""

    @property
    def requests(self) -> Requests:
        """Asks the scheduler."""

    @property
    def sizes(self) -> Sizes:
        """Counts, and knows the workers."""

    @property
    def guard(self) -> Guard:
        """Opens what is sealed."""

    async def size(self, queue: str) -> QueueSize:
        """See `Bus.size`."""

    async def pause(self, queue: str) -> None:
        """See `Bus.pause`."""

    async def resume(self, queue: str) -> None:
        """See `Bus.resume`."""

    async def purge(self, queue: str) -> int:
        """See `Bus.purge`."""

    async def limit_queue(self, queue: str, rate: tuple[float, float] | None) -> None:
        """See `Bus.limit_queue`."""


class _Part:
    """A part of a bus.

    Args:
        bus: that it is part of.
    """

    def __init__(self, bus: ManagedBus) -> None:
        self._bus = bus


class FailedJobs(_Part):
    """Failed records: ``bus.failed``. Every method raises `NoScheduler` where none answers."""

    async def list(
        self,
        queue: str | None = None,
        *,
        job: str | None = None,
        limit: int = 100,
        after: FailedShort | None = None,
    ) -> builtins.list[FailedShort]:
        """Failed records, newest first.

        Args:
            queue: only of this queue.
            job: only of this wire name.
            limit: how many at most, 1 to 1000; default 100.
            after: the last record of the page before; default: from the newest on.

        Raises:
            ConfigurationError: `limit` or `queue` is invalid.
        """
        if queue is not None:
            check_queue_name(queue, "failed.list: queue")
        if type(limit) is not int or not 1 <= limit <= _MOST:
            raise ConfigurationError(f"failed.list: limit={shown(limit)} must be 1 to {_MOST}")
        asked = requests.FailedList(queue=queue, job=job, limit=limit)
        if after is not None:
            asked = replace(asked, before=after.failed_at, after_id=after.id)
        return await self._bus.requests.ask(asked)

    async def all(
        self, queue: str | None = None, *, job: str | None = None
    ) -> AsyncIterator[FailedShort]:
        """All failed records, newest first, page by page; takes what `list` does."""
        page = await self.list(queue, job=job, limit=_PAGE)
        while page:
            for record in page:
                yield record
            page = await self.list(queue, job=job, limit=_PAGE, after=page[-1])

    async def show(self, job_id: str | Handle) -> FailedShown:
        """One record: its data, and the error of every attempt; opened where it is sealed.

        Raises:
            RequestFailed: there is none of this id.
        """
        name = check_job_id(str(job_id), "failed.show")
        return _opened(await self._bus.requests.ask(requests.FailedShow(id=name)), self._bus.guard)

    async def retry(
        self,
        *job_ids: str | Handle,
        all: bool = False,  # noqa: A002 - as in the command line
        queue: str | None = None,
    ) -> Retried:
        """Run failed jobs again, from their first attempt.

        Args:
            *job_ids: which ones.
            all: all of them, instead.
            queue: with `all`: all of this queue.

        Returns:
            The ids of those that run again, and those that cannot, each with the reason.

        Raises:
            ConfigurationError: it is not clear which ones.
        """
        ids = _chosen("failed.retry", job_ids, all, queue)
        return await self._bus.requests.ask(requests.FailedRetry(ids=ids, all=all, queue=queue))

    async def forget(
        self,
        *job_ids: str | Handle,
        all: bool = False,  # noqa: A002 - as in the command line
        queue: str | None = None,
    ) -> int:
        """Delete failed records; takes what `retry` does. Returns how many were deleted."""
        ids = _chosen("failed.forget", job_ids, all, queue)
        asked = requests.FailedForget(ids=ids, all=all, queue=queue)
        return (await self._bus.requests.ask(asked)).forgotten

    async def flush(self, queue: str | None = None) -> int:
        """Delete all failed records, or all of one queue; returns how many were deleted."""
        if queue is not None:
            check_queue_name(queue, "failed.flush: queue")
        return (await self._bus.requests.ask(requests.FailedFlush(queue=queue))).forgotten


class Schedules(_Part):
    """Schedules of `every` and `cron`: ``bus.schedules``, each by its name.

    Every method raises `NoScheduler` where none answers, and `RequestFailed` where there is no
    schedule of the name.
    """

    async def list(self) -> builtins.list[ScheduleShown]:
        """All schedules, and when each is due next."""
        return await self._bus.requests.ask(requests.ScheduleList())

    async def run(self, name: str) -> str:
        """Run the job of a schedule now, beside its regular runs; returns the job's id."""
        return await self._bus.requests.ask(requests.ScheduleRun(name=name))

    async def pause(self, name: str) -> None:
        """Pause a schedule. The pause survives restarts until `resume`."""
        await self._bus.requests.ask(requests.SchedulePause(name=name))

    async def resume(self, name: str) -> float:
        """Resume a paused schedule; returns when it runs next, UTC epoch seconds."""
        return await self._bus.requests.ask(requests.ScheduleResume(name=name))

    async def forget(self, name: str) -> None:
        """Delete a schedule. A worker that declares it registers it again at its start."""
        await self._bus.requests.ask(requests.ScheduleForget(name=name))


class Triggers(_Part):
    """Messages that become jobs: ``bus.triggers``. Raises `NoScheduler` where none answers."""

    async def list(self) -> builtins.list[TriggerShown]:
        """The triggers that workers have declared."""
        return await self._bus.requests.ask(requests.TriggerList())

    async def forget(self, pattern: str) -> bool:
        """Delete a trigger; returns whether there was one. Workers that declare it add it again."""
        asked = requests.TriggerForget(pattern=pattern)
        return bool((await self._bus.requests.ask(asked)).forgotten)


class QueueControl(_Part):
    """One queue: ``bus.queues["mail"]``.

    Attributes:
        name: of the queue.
    """

    def __init__(self, bus: ManagedBus, name: str) -> None:
        super().__init__(bus)
        check_queue_name(name, "queues[…]: name")
        self.name = name

    async def size(self) -> QueueSize:
        """How many jobs the bus can see; see `Bus.size`."""
        return await self._bus.size(self.name)

    async def pause(self) -> None:
        """Start no more of its jobs; see `Bus.pause`."""
        await self._bus.pause(self.name)

    async def resume(self) -> None:
        """Start its jobs again."""
        await self._bus.resume(self.name)

    async def purge(self) -> int:
        """Cancel all jobs that no worker has started; see `Bus.purge`."""
        return await self._bus.purge(self.name)

    async def limit(self, rate: tuple[float, float] | None) -> None:
        """Start at most (jobs, seconds); None: no limit. See `Bus.limit_queue`."""
        await self._bus.limit_queue(self.name, rate)


class Queues(_Part):
    """All queues: ``bus.queues``."""

    def __getitem__(self, name: str) -> QueueControl:
        return QueueControl(self._bus, name)

    async def sizes(self) -> dict[str, QueueSize]:
        """The size of each queue that the bus knows of."""
        return await self._bus.sizes.all()


class DeviceRegistry(_Part):
    """Devices, which are workers with a name: ``bus.devices``."""

    async def __call__(self) -> builtins.list[DeviceInfo]:
        """The same as `list`."""
        return await self.list()

    async def list(self) -> builtins.list[DeviceInfo]:
        """All devices that the scheduler has ever seen here, by name.

        Raises:
            NoScheduler: no scheduler answers.
        """
        found = await self._bus.requests.ask(requests.DeviceList())
        return [DeviceInfo(**asdict(one)) for one in found]

    async def forget(self, name: str) -> None:
        """Forget a device that is gone: it gets no more broadcasts.

        Raises:
            NoScheduler: no scheduler answers.
            RequestFailed: there is none of this name.
        """
        await self._bus.requests.ask(requests.DeviceForget(name=name))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """A device that this bus knows; `seen_at`: when it was last online, UTC epoch seconds."""

    name: str
    tags: dict[str, str]
    seen_at: float
    online: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker, as its retained messages show it.

    Attributes:
        id: of this start of it.
        name: that it keeps; None: it has none.
        state: "online", "stopped", "lost" or "adopting".
        queues: that it serves, highest priority first.
        concurrency: jobs that it runs at once.
        running, waiting: jobs that it runs, and that it holds and has not started.
        done, failed: jobs since its start.
        drained: it takes no new jobs.
        started_at: UTC epoch seconds.
    """

    id: str
    name: str | None
    state: str
    queues: tuple[str, ...]
    concurrency: int
    running: int
    waiting: int
    done: int
    failed: int
    drained: bool
    started_at: float


class Managed:
    """The parts of a bus that manage; also what the command line is built on."""

    @property
    def failed(self: ManagedBus) -> FailedJobs:
        """Failed records."""
        return FailedJobs(self)

    @property
    def schedules(self: ManagedBus) -> Schedules:
        """Schedules."""
        return Schedules(self)

    @property
    def triggers(self: ManagedBus) -> Triggers:
        """Triggers."""
        return Triggers(self)

    @property
    def queues(self: ManagedBus) -> Queues:
        """Queues by name: ``bus.queues["mail"].pause()``."""
        return Queues(self)

    @property
    def devices(self: ManagedBus) -> DeviceRegistry:
        """Devices: ``await bus.devices.list()``, or ``await bus.devices()``."""
        return DeviceRegistry(self)

    async def workers(self: ManagedBus) -> list[WorkerInfo]:
        """The fleet, from retained messages alone: no scheduler is needed.

        Raises:
            ConnectionFailed, PublishRefused: the broker does not show them.
        """
        await self.sizes.refresh()
        members = self.sizes.fleet.members.values()
        found = [_info(member) for member in members if member.status is not None]
        return [one for one in found if one.state != "adopted"]


def _info(member: Member) -> WorkerInfo:
    status, load = member.status, member.load
    assert status is not None  # noqa: S101 - the caller's choice
    return WorkerInfo(
        id=status.id,
        name=status.name,
        state=status.state,
        queues=tuple(status.queues),
        concurrency=status.concurrency,
        running=sum(load.active.values()),
        waiting=sum(load.waiting.values()),
        done=load.counters.get("done", 0),
        failed=load.counters.get("failed", 0),
        drained=load.drained,
        started_at=status.started_at,
    )


def _chosen(where: str, ids: tuple[str | Handle, ...], every: bool, queue: str | None) -> list[str]:
    if bool(ids) == every:
        raise ConfigurationError(f"{where}: name ids, or say all=True")
    if queue is not None:
        check_queue_name(queue, f"{where}: queue")
        if ids:
            raise ConfigurationError(
                f"{where}: queue={queue!r} goes with all=True; the ids that you name are enough"
            )
    return [check_job_id(str(one), where) for one in ids]


def _opened(record: FailedShown, guard: Guard) -> FailedShown:
    """A record whose sealed parts are readable, where we have the key; else `note` says why."""
    try:
        envelope = Envelope.decode(record.envelope)
        if not envelope.extra:
            return record
        envelope = envelope.evolve(id=record.id)
        data = guard.read(envelope).data
    except UnreadableMessage as refused:
        return replace(record, note=str(refused))
    attempts: Any = [
        {key: guard.plain_words(part, envelope) if isinstance(part, str) else part
         for key, part in attempt.items()}
        for attempt in record.attempts
    ]  # fmt: skip
    error = guard.plain_words(record.error, envelope)
    return replace(record, data=data, attempts=attempts, error=error)
