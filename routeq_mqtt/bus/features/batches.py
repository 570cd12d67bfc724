"""Batches as the scheduler has them: how far one is, and jobs that are added to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.imports import LateModule
from routeq_mqtt.jobs.job import Job
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.wire.messages import requests
    from routeq_mqtt.wire.messages.replies import BatchShown
else:
    requests = LateModule("routeq_mqtt.wire.messages.requests")

_CHUNK = 500
_MOST_BYTES = 1024 * 1024
"""Of the jobs in one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """Progress of a batch.

    Attributes:
        id: id of the batch.
        name: name that it was given, or None.
        total: number of jobs that were added.
        pending: jobs that have not ended.
        failed: jobs that became failed records.
        cancelled: jobs that were cancelled.
        called_off: whether the batch was cancelled as a whole.
        finished_at: when it ended, UTC epoch seconds; None: it has not.
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
        """Number of jobs that are done."""
        return self.total - self.pending - self.failed - self.cancelled

    def as_dict(self) -> dict[str, Any]:
        """As a plain map, `done` included."""
        return {**asdict(self), "done": self.done}


class Adds(Protocol):
    """What jobs of a chain or a batch are stored with: a bus."""

    def envelope(self, job: Job, *, delay: float | None = None) -> Envelope:
        """See `Bus.envelope`."""

    async def store(
        self, envelopes: Sequence[Envelope], *, timeout: float | None = None, **more: object
    ) -> list[str]:
        """See `Bus.store`."""


class Begins(Protocol):
    """A `flows.Batch`, before it is dispatched."""

    async def dispatch(self, bus: Any) -> Any:  # noqa: ANN401
        """Store it; see `flows.Batch.dispatch`."""


class Follows(Protocol):
    """A `flows.Chain`, before it is dispatched."""

    async def dispatch(self, bus: Any, *, delay: float | None = None) -> list[str]:  # noqa: ANN401
        """Store it; see `flows.Chain.dispatch`."""


class _Bus(Adds, Protocol):
    @property
    def requests(self) -> Requests: ...
    async def batch_progress(self, id: str) -> BatchProgress: ...  # noqa: A002


class Batches:
    """The part of a bus that manages batches by id, for `SyncBus`, which has no batch handles."""

    async def dispatch_chain(
        self: Adds, chain: Follows, *, delay: float | None = None
    ) -> list[str]:
        """Store a chain; the ids of its jobs. The same as ``chain(…).dispatch(bus)``."""
        return await chain.dispatch(self, delay=delay)

    async def dispatch_batch(self: Adds, batch: Begins) -> str:
        """Store a batch; its id. The same as ``batch(…).dispatch(bus)``."""
        return str((await batch.dispatch(self)).id)

    async def batch_progress(self: _Bus, id: str) -> BatchProgress:  # noqa: A002 - its name everywhere
        """How far a batch is.

        Raises:
            RequestFailed: there is none of this id; a batch is forgotten 7 days after its end.
        """
        return _progress(await self.requests.ask(requests.BatchShow(id=checked_id("batch", id))))

    async def cancel_batch(self: _Bus, id: str) -> BatchProgress:  # noqa: A002
        """Cancel all jobs of a batch that are not over, and those that are added later.

        One that is over stays as it is: `finished_at` is set, and `called_off` is not.

        Raises:
            RequestFailed: there is none of this id.
        """
        return _progress(await self.requests.ask(requests.BatchCancel(id=checked_id("batch", id))))

    async def add_to_batch(self: _Bus, id: str, jobs: Iterable[Job]) -> list[str]:  # noqa: A002
        """Add jobs to a batch, also to one that is over: its callbacks do not run again.

        Raises:
            RequestFailed: there is none of this id; nothing was added.
        """
        more = listed("batch: add()", jobs)
        await self.batch_progress(id)  # or they would run, and be counted nowhere
        return await add_jobs(self, id, more)


def listed(where: str, jobs: Iterable[Job]) -> list[Job]:
    """Jobs as a list.

    Raises:
        ConfigurationError: they are not jobs; says which, and the fix.
    """
    if isinstance(jobs, Job) or not isinstance(jobs, Iterable):
        raise ConfigurationError(f"{where}: {shown(jobs)} must be a list of jobs")
    listed = list(jobs)
    check_jobs(where, listed)
    return listed


def check_jobs(where: str, jobs: Sequence[object]) -> None:
    """Refuse what is not a job; raises as `listed` does."""
    for job in jobs:
        if isinstance(job, list | tuple):
            raise ConfigurationError(
                f"{where}: {shown(job)} is not a job; name them one by one: *jobs"
            )
        if not isinstance(job, Job):
            fix = f"; make one: {job.__name__}(…)" if isinstance(job, type) else ""
            raise ConfigurationError(f"{where}: {shown(job)} is not a job{fix}")


async def add_jobs(
    bus: Adds,
    batch_id: str,
    jobs: Sequence[Job],
    *,
    first: Sequence[Envelope] = (),
    name: str | None = None,
    whole: bool = False,
) -> list[str]:
    """Store jobs of a batch in messages of 500, or 1 MB; `whole`: the last one closes the batch."""
    ids: list[str] = []
    source = iter(jobs)
    chunk = [part_of(bus.envelope(job), batch=batch_id) for job in islice(source, _CHUNK)]
    before = list(first)
    while chunk or before or whole:
        following = [part_of(bus.envelope(job), batch=batch_id) for job in islice(source, _CHUNK)]
        parts = parts_of([*before, *chunk])
        for number, part in enumerate(parts, 1):
            more: dict[str, Any] = {}
            if whole:
                is_open = number < len(parts) or bool(following)
                more["batch"] = {"id": batch_id, "name": name, "open": is_open}
            ids += await bus.store(part, **more)
        if not following:
            break
        chunk, before = following, []
    return ids[len(first) :]


def parts_of(envelopes: Sequence[Envelope]) -> list[list[Envelope]]:
    """Envelopes that travel in one message each: no more than a broker takes; at least one part."""
    parts: list[list[Envelope]] = [[]]
    size = 0
    for envelope in envelopes:
        more = len(envelope.encode())
        if parts[-1] and size + more > _MOST_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(envelope)
        size += more
    return parts


def part_of(envelope: Envelope, **options: object) -> Envelope:
    """An envelope that says where it belongs.

    Raises:
        ConfigurationError: its class may turn jobs away.
    """
    if "unique_key" in envelope.options:
        raise ConfigurationError(
            f"{envelope.job}: a job that is unique, debounced or throttled cannot be part of a "
            "chain or a batch: it might be turned away, and the others would wait for it"
        )
    return envelope.evolve(options=envelope.options | options)


def checked_id(where: str, batch_id: str) -> str:
    """The id of a batch.

    Raises:
        ConfigurationError: it can be none: no text, or empty.
    """
    if not isinstance(batch_id, str) or not batch_id:
        raise ConfigurationError(f"{where}: id={shown(batch_id)} must be the id of a batch")
    return batch_id


def _progress(batch: BatchShown) -> BatchProgress:
    return BatchProgress(
        id=batch.id,
        name=batch.name,
        total=batch.total,
        pending=batch.pending,
        failed=batch.failed,
        cancelled=batch.cancelled,
        called_off=batch.called_off,
        finished_at=batch.finished_at,
    )
