"""Chains and batches: jobs that follow on other jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.bus.default import default_bus
from routeq_mqtt.bus.features.batches import (
    BatchProgress,
    add_jobs,
    check_jobs,
    checked_id,
    listed,
    part_of,
    parts_of,
)
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.envelopes.callbacks import CALLBACKS, CATCH, FINALLY, THEN
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.jobs.job import Job

_MOST_STEPS = 500


class Chain:
    """Jobs that run one after the other; each starts when the previous one is done.

    Args:
        jobs: 1 to 500 jobs, in order; each goes to its own queue.

    Raises:
        ConfigurationError: there are no jobs, or too many.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        check_jobs("chain", jobs)
        if not 1 <= len(jobs) <= _MOST_STEPS:
            raise ConfigurationError(
                f"chain: {len(jobs)} jobs; name 1 to {_MOST_STEPS} (a longer one: let its last job "
                "dispatch the next chain)"
            )
        self._jobs = jobs

    async def dispatch(self, bus: Bus | None = None, *, delay: float | None = None) -> list[str]:
        """Send the chain to the scheduler; returns the ids of the jobs, in order.

        A chain of less than 1 MB is stored in one transaction, a larger one in several, its first
        job last.

        Args:
            bus: default: the default bus.
            delay: seconds until the first job runs; default None: now.

        Raises:
            RouteqError: NoScheduler, and what `Bus.dispatch` raises. Then no job runs; after
                DispatchTimeout, all or none may.
        """
        bus = _a_bus(bus)
        chain = new_id()
        envelopes = [
            part_of(bus.envelope(job, delay=None if step else delay), chain=chain, step=step)
            for step, job in enumerate(self._jobs)
        ]
        if len(parts_of(envelopes)) == 1:
            return await bus.store(envelopes)
        # The first one comes last: until it is there, the others are held, and none of them runs.
        for part in parts_of(envelopes[1:]):
            await bus.store(part)
        await bus.store(envelopes[:1])
        return [str(envelope.id) for envelope in envelopes]


def chain(*jobs: Job) -> Chain:
    """Make a chain: jobs that run one after the other.

    ``await chain(Download(), Convert(), Publish()).dispatch()``

    When a job becomes a failed record, the later ones wait: retry it (``routeq-mqtt failed
    retry``), and the chain continues. If you delete the record, or cancel any job of the chain, the
    later jobs are cancelled.
    """
    return Chain(jobs)


class BatchHandle:
    """A dispatched batch. Its id is enough to make another handle, in any program.

    Args:
        id: of the batch.
        bus: default: the default bus.
    """

    def __init__(self, id: str, bus: Bus | None = None) -> None:  # noqa: A002 - its name everywhere
        self.id: str = checked_id("BatchHandle", id)
        self._bus = _a_bus(bus)

    async def progress(self) -> BatchProgress:
        """Return the progress of the batch.

        Raises:
            RequestFailed: no batch has this id; batches are deleted 7 days after their end.
        """
        return await self._bus.batch_progress(self.id)

    async def cancel(self) -> BatchProgress:
        """Cancel all of its jobs that have not ended, and those that are added later.

        A batch that has ended does not change: `finished_at` is set, and `called_off` is not.

        Raises:
            RequestFailed: no batch has this id.
        """
        return await self._bus.cancel_batch(self.id)

    async def add(self, jobs: Iterable[Job]) -> list[str]:
        """Add jobs. If one of its own jobs does this, the batch cannot end meanwhile.

        Jobs can also be added to a batch that has ended; its callbacks do not run again.

        Raises:
            RequestFailed: no batch has this id; nothing was added.
        """
        return await self._bus.add_to_batch(self.id, jobs)


class Batch:
    """Jobs that run in any order, and what to run when they are over."""

    def __init__(self, jobs: Iterable[Job], *, name: str | None = None) -> None:
        self._jobs = listed("batch", jobs)
        if name is not None and not isinstance(name, str):
            raise ConfigurationError(f"batch: name={shown(name)} must be a text")
        self._name = name
        self._callbacks: dict[int, Job] = {}

    def then(self, job: Job) -> Batch:
        """Run it when all jobs are done: none failed, none was cancelled."""
        return self._on(THEN, "then", job)

    def catch(self, job: Job) -> Batch:
        """Run it when the first job has failed, while others may go on."""
        return self._on(CATCH, "catch", job)

    def finally_(self, job: Job) -> Batch:
        """Run it when all jobs are over, however they ended."""
        return self._on(FINALLY, "finally_", job)

    def _on(self, step: int, name: str, job: Job) -> Batch:
        check_jobs(f"batch: .{name}()", [job])
        if step in self._callbacks:
            raise ConfigurationError(f"batch: .{name}() was called twice; one job can do both")
        self._callbacks[step] = job
        return self

    async def dispatch(self, bus: Bus | None = None) -> BatchHandle:
        """Store the batch; none of its jobs runs before all of them are stored.

        More than 500 jobs travel in several messages. Where the producer dies in between, the
        scheduler calls the batch off after an hour without another part: a failed record says so,
        and `finally_` runs.

        Raises:
            NoScheduler, and what else `Bus.dispatch` raises; then none of its jobs runs, except
            after DispatchTimeout, when all or none may.
        """
        bus = _a_bus(bus)
        handle = BatchHandle(new_id(), bus)
        callbacks = [
            part_of(bus.envelope(job), chain=CALLBACKS + handle.id, step=step)
            for step, job in self._callbacks.items()
        ]
        await add_jobs(bus, handle.id, self._jobs, first=callbacks, name=self._name, whole=True)
        return handle


def batch(jobs: Iterable[Job], *, name: str | None = None) -> Batch:
    """Jobs in any order, and what follows on all of them.

    ``await batch([Import(n) for n in parts]).then(Publish()).dispatch()``
    """
    return Batch(jobs, name=name)


def batch_of(job: Job) -> BatchHandle:
    """The batch that a running job is part of.

    Raises:
        ConfigurationError: it is part of none.
    """
    if job.batch_id is None:
        raise ConfigurationError(f"{type(job).__name__} id={job.job_id} is not part of a batch")
    return BatchHandle(job.batch_id)


def _a_bus(bus: Bus | None) -> Bus:
    if bus is None:
        return default_bus()
    if not isinstance(bus, Bus):
        raise ConfigurationError(
            f"bus={shown(bus)} must be a Bus; of a SyncBus use dispatch_chain(chain(…)), "
            "dispatch_batch(batch(…)), batch_progress(id) and the like"
        )
    return bus
