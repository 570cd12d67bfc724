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
    """Jobs that run one after the other, each when the one before it is done.

    Args:
        jobs: 1 to 500, in order; each goes to its own queue.

    Raises:
        ConfigurationError: none, or too many jobs.
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
        """Store the whole chain, its first job last; the jobs' ids, in order.

        One transaction where it is less than 1 MB; a larger one travels in several messages.

        Args:
            bus: default: the default bus.
            delay: seconds until the first one runs.

        Raises:
            NoScheduler, and what else `Bus.dispatch` raises; then none of them runs, except after
            DispatchTimeout, when all or none may.
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
    """Jobs one after the other.

    ``await chain(Download(), Convert(), Publish()).dispatch()``

    When a job fails for good, the later ones stay held: run it again by hand (``routeq-mqtt failed
    retry``) and the chain goes on; forget it, or cancel any of them, and the later ones go, too.
    """
    return Chain(jobs)


class BatchHandle:
    """A batch that was dispatched; its id is enough to find it again, from anywhere.

    Args:
        id: of the batch.
        bus: default: the default bus.
    """

    def __init__(self, id: str, bus: Bus | None = None) -> None:  # noqa: A002 - its name everywhere
        self.id: str = checked_id("BatchHandle", id)
        self._bus = _a_bus(bus)

    async def progress(self) -> BatchProgress:
        """How far it is.

        Raises:
            RequestFailed: there is none of this id; a batch is forgotten 7 days after its end.
        """
        return await self._bus.batch_progress(self.id)

    async def cancel(self) -> BatchProgress:
        """Cancel all of its jobs that are not over, and those that are added later.

        One that is over stays as it is: `finished_at` is set, and `called_off` is not.

        Raises:
            RequestFailed: there is none of this id.
        """
        return await self._bus.cancel_batch(self.id)

    async def add(self, jobs: Iterable[Job]) -> list[str]:
        """Add jobs; from one of its own jobs, while that runs, the batch cannot end meanwhile.

        To a batch that has ended they are added all the same, and its callbacks do not run again.

        Raises:
            RequestFailed: there is none of this id; nothing was added.
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
