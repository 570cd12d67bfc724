"""Chains and batches: jobs that follow on other jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.default import default_bus
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.job.job import Job
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.shown import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.bus.bus import Bus
    from routeq_mqtt.wire.envelope import Envelope

_CHUNK = 500
_MOST_STEPS = 500
_CALLBACKS = "batch:"
_THEN, _CATCH, _FINALLY = 10, 20, 30


class Chain:
    """Jobs that run one after the other, each when the one before it is done.

    Args:
        jobs: 2 to 500, in order; each goes to its own queue.

    Raises:
        ConfigurationError: too few or too many jobs.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        _check_jobs("chain", jobs)
        if not 2 <= len(jobs) <= _MOST_STEPS:
            raise ConfigurationError(f"chain: {len(jobs)} jobs; name 2 to {_MOST_STEPS}")
        self._jobs = jobs

    async def dispatch(self, bus: Bus | None = None, *, delay: float | None = None) -> list[str]:
        """Store the whole chain, in one transaction; the jobs' ids, in order.

        Args:
            bus: default: the default bus.
            delay: seconds until the first one runs.

        Raises:
            NoScheduler, and what else `Bus.dispatch` raises; then none of them runs, except after
            DispatchTimeout, when all or none may.
        """
        bus = bus or default_bus()
        chain = new_id()
        envelopes = [
            _with(bus.envelope(job, delay=None if step else delay), chain=chain, step=step)
            for step, job in enumerate(self._jobs)
        ]
        return await bus.store(envelopes)


def chain(*jobs: Job) -> Chain:
    """Jobs one after the other.

    ``await chain(Download(), Convert(), Publish()).dispatch()``

    When a job fails for good, the later ones stay held: run it again by hand (``routeq-mqtt failed
    retry``) and the chain goes on; forget it, or cancel any of them, and the later ones go, too.
    """
    return Chain(jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """How far a batch is.

    Attributes:
        total: jobs that were added.
        pending: those that are not over.
        failed: those that ended as a failed record.
        cancelled: those that were cancelled.
        called_off: the batch was cancelled as a whole.
        finished_at: UTC epoch seconds; None: it goes on.
    """

    id: str
    name: str | None
    total: int
    pending: int
    failed: int
    cancelled: int
    called_off: bool
    finished_at: float | None

    @property
    def done(self) -> int:
        """Jobs that did their work."""
        return self.total - self.pending - self.failed - self.cancelled

    def as_dict(self) -> dict[str, Any]:
        """As a plain map, `done` included."""
        return {**asdict(self), "done": self.done}


class BatchHandle:
    """A batch that was dispatched; its id is enough to find it again, from anywhere.

    Args:
        id: of the batch.
        bus: default: the default bus.
    """

    def __init__(self, id: str, bus: Bus | None = None) -> None:  # noqa: A002 - its name everywhere
        self.id = id
        self._bus = bus or default_bus()

    async def progress(self) -> BatchProgress:
        """How far it is.

        Raises:
            RequestFailed: there is none of this id; a batch is forgotten 7 days after its end.
        """
        return _progress(await self._bus.requests.call("batch.show", id=self.id))

    async def cancel(self) -> BatchProgress:
        """Cancel all of its jobs that are not over, and those that are added later."""
        return _progress(await self._bus.requests.call("batch.cancel", id=self.id))

    async def add(self, jobs: Iterable[Job]) -> list[str]:
        """Add jobs; from one of its own jobs, while that runs, the batch cannot end meanwhile.

        To a batch that has ended they are added all the same, and its callbacks do not run again.
        """
        more = list(jobs)
        _check_jobs("batch: add()", more)
        return await _add(self._bus, self.id, more)


class Batch:
    """Jobs that run in any order, and what to run when they are over."""

    def __init__(self, jobs: Iterable[Job], *, name: str | None = None) -> None:
        if isinstance(jobs, Job) or not isinstance(jobs, Iterable):
            raise ConfigurationError(f"batch: {shown(jobs)} must be a list of jobs")
        self._jobs = list(jobs)
        _check_jobs("batch", self._jobs)
        if name is not None and not isinstance(name, str):
            raise ConfigurationError(f"batch: name={shown(name)} must be a text")
        self._name = name
        self._callbacks: dict[int, Job] = {}

    def then(self, job: Job) -> Batch:
        """Run it when all jobs are done: none failed, none was cancelled."""
        return self._on(_THEN, "then", job)

    def catch(self, job: Job) -> Batch:
        """Run it when the first job has failed, while others may go on."""
        return self._on(_CATCH, "catch", job)

    def finally_(self, job: Job) -> Batch:
        """Run it when all jobs are over, however they ended."""
        return self._on(_FINALLY, "finally_", job)

    def _on(self, step: int, name: str, job: Job) -> Batch:
        _check_jobs(f"batch: .{name}()", [job])
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
        bus = bus or default_bus()
        handle = BatchHandle(new_id(), bus)
        callbacks = [
            _with(bus.envelope(job), chain=_CALLBACKS + handle.id, step=step)
            for step, job in self._callbacks.items()
        ]
        await _add(bus, handle.id, self._jobs, first=callbacks, name=self._name, whole=True)
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


def _check_jobs(where: str, jobs: Sequence[object]) -> None:
    for job in jobs:
        if isinstance(job, list | tuple):
            raise ConfigurationError(
                f"{where}: {shown(job)} is no job; name them one by one: *jobs"
            )
        if not isinstance(job, Job):
            mend = f"; make one: {job.__name__}(…)" if isinstance(job, type) else ""
            raise ConfigurationError(f"{where}: {shown(job)} is no job{mend}")


async def _add(
    bus: Bus,
    batch_id: str,
    jobs: Sequence[Job],
    *,
    first: Sequence[Envelope] = (),
    name: str | None = None,
    whole: bool = False,
) -> list[str]:
    """Store jobs of a batch in messages of 500; `whole`: the last one closes the batch."""
    ids: list[str] = []
    for at in range(0, max(len(jobs), 1), _CHUNK):
        envelopes = [_with(bus.envelope(job), batch=batch_id) for job in jobs[at : at + _CHUNK]]
        more: dict[str, Any] = {}
        if whole:
            is_open = at + _CHUNK < len(jobs)
            more["batch"] = {"id": batch_id, "name": name, "open": is_open}
        before = [] if at else first
        if before or envelopes or more:
            ids += (await bus.store([*before, *envelopes], **more))[len(before) :]
    return ids


def _with(envelope: Envelope, **options: object) -> Envelope:
    if "unique_key" in envelope.options:
        raise ConfigurationError(
            f"{envelope.job}: a job that is unique, debounced or throttled cannot be part of a "
            "chain or a batch: it might be turned away, and the others would wait for it"
        )
    return envelope.evolve(options=envelope.options | options)


def _progress(shown: dict[str, Any]) -> BatchProgress:
    return BatchProgress(
        id=shown["id"],
        name=shown["name"],
        total=shown["total"],
        pending=shown["pending"],
        failed=shown["failed"],
        cancelled=shown["cancelled"],
        called_off=bool(shown["called_off"]),
        finished_at=shown["finished_at"],
    )
