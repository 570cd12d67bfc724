"""What became of a job: its state while it is on its way, its result afterwards."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, cast, overload

from routeq_mqtt.bus.send.arguments import check_job_id, check_timeout
from routeq_mqtt.errors import (
    ConnectionFailed,
    JobCancelled,
    JobFailed,
    NoResult,
    NoScheduler,
    ResultTimeout,
)
from routeq_mqtt.imports import LateModule
from routeq_mqtt.jobs.codec import decoded_result
from routeq_mqtt.jobs.job import checked_class
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.tasks import Scope
from routeq_mqtt.wire.packing import unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.bus.send.runs import IsFunction, RunsAsync, RunsPlain
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.presence.status import SchedulerStatus
    from routeq_mqtt.security.guard import Guard
    from routeq_mqtt.wire.messages import requests
    from routeq_mqtt.wire.messages.replies import Fate, JobAnswer
else:
    requests = LateModule("routeq_mqtt.wire.messages.requests")

R = TypeVar("R")

State = Literal[
    "delayed", "parked", "held", "limited", "waiting", "running", "done", "failed", "cancelled",
    "unknown",
]  # fmt: skip

_ASK_AGAIN = 30.0
"""Seconds after which an open request is made again, should its reply have got lost."""

_PAUSE = 0.5

_GRACE = 1.0
"""Seconds beyond the time-out, for a scheduler that answers when that is over."""

_FIX = "set result_ttl in its class, in seconds, or at its dispatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress that a running job has reported.

    Attributes:
        done: how much is done, in the unit that the job chose.
        total: all of the work, in the same unit; None: unknown.
        note: a text for people; default "".
    """

    done: float
    total: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """The state of a job.

    Attributes:
        state: "delayed": not yet due; "parked": due, and no worker is free; "held": waits for other
            jobs of its chain or batch; "limited": waits for its rate limit or slot; "waiting": at
            the broker or in a worker; "running"; "done", "failed", "cancelled": it has ended;
            "unknown": the scheduler has not seen it (express lane), or it ended long ago.
        attempt: number of the attempt, from 1; None: unknown.
        worker: id of the worker that runs it, or None.
        progress: what the running job has reported, or None.
        reason, error: why a job failed, or None; `reason` also says why one was cancelled with
            others: "with its chain", "with its batch".
    """

    state: State
    attempt: int | None = None
    worker: str | None = None
    progress: Progress | None = None
    reason: str | None = None
    error: str | None = None


class _Asks(Protocol):
    guard: Guard

    @property
    def requests(self) -> Requests: ...
    @property
    def sender(self) -> Sender: ...
    async def cancel(self, job_id: str | Handle) -> Fate: ...
    async def result(self, job_id: str | Handle, timeout: float | None = None) -> Any: ...  # noqa: ANN401
    async def wait(self, job_id: str | Handle, timeout: float | None = None) -> JobStatus: ...
    async def status(self, job_id: str | Handle) -> JobStatus: ...
    async def _ended(self, job: str | Handle, timeout: float | None) -> dict[str, Any]: ...


class Handle:
    """Base of all handles: holds the id of a job, and compares equal to that id as a string."""

    __slots__ = ("id",)

    id: str

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Handle):
            return self.id == other.id
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (self.id,)


class JobHandle(Handle, Generic[R]):
    """A dispatched job: its id, result, status, and a way to cancel it.

    Store or send ``handle.id``; `Bus.handle` makes a handle of an id. A handle compares equal to
    its id.

    Attributes:
        id: of the job.
        job_class: its class, which gives results their type; None: results are plain data.
        is_untold: no result will be stored for it, and its end is reported only if it fails.
    """

    __slots__ = ("_bus", "is_untold", "job_class")

    def __init__(self, job_id: str, bus: _Asks, job_class: type[Job] | None = None) -> None:
        self.id = job_id
        self._bus = bus
        self.job_class: type[Job] | None = job_class
        self.is_untold: bool = False

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the job to end, and return what `handle` returned.

        Args:
            timeout: seconds to wait; default None: no limit.

        Raises:
            JobFailed, JobCancelled, NoResult, ResultTimeout: as `Bus.result`.
        """
        value: R = await self._bus.result(self, timeout)
        return value

    async def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait until the job has ended, also if it failed or was cancelled; see `Bus.wait`."""
        return await self._bus.wait(self, timeout)

    async def status(self) -> JobStatus:
        """Return the state of the job; see `Bus.status`."""
        return await self._bus.status(self)

    async def cancel(self) -> Fate:
        """Cancel the job; see `Bus.cancel`."""
        return await self._bus.cancel(self)


class Outcomes:
    """The part of a bus that asks for results and states of jobs."""

    @overload
    def handle(self: _Asks, job_id: str, job: IsFunction[R]) -> JobHandle[R]: ...
    @overload
    def handle(self: _Asks, job_id: str, job: Callable[..., RunsAsync[R]]) -> JobHandle[R]: ...
    @overload
    def handle(self: _Asks, job_id: str, job: Callable[..., RunsPlain[R]]) -> JobHandle[R]: ...
    @overload
    def handle(self: _Asks, job_id: str) -> JobHandle[Any]: ...
    def handle(self: _Asks, job_id: str, job: object = None) -> JobHandle[Any]:
        """Make a handle of a job that was dispatched earlier, or by another program.

        Args:
            job_id: id of the job.
            job: its class, or its function decorated with `job`, which gives results their type;
                default None: results are plain data.
        """
        kind = None if job is None else checked_class("handle", job)
        return JobHandle(check_job_id(job_id, "handle"), self, kind)

    @overload
    async def result(self: _Asks, job_id: JobHandle[R], timeout: float | None = None) -> R: ...
    @overload
    async def result(self: _Asks, job_id: str | Handle, timeout: float | None = None) -> Any: ...  # noqa: ANN401
    async def result(self: _Asks, job_id: str | Handle, timeout: float | None = None) -> Any:
        """Wait for a job to end, and return what its `handle` returned.

        The scheduler pushes the result; nothing is polled. It is kept for `result_ttl` seconds,
        which the class or the dispatch must set.

        Args:
            job_id: id of the job, or its handle.
            timeout: seconds to wait; default None: no limit.

        Raises:
            JobFailed: the job became a failed record; says why.
            JobCancelled: it was cancelled.
            NoResult: it is done, but its result was not stored or has expired, or the job is
                unknown. Without a timeout, this is raised at once for a job that was dispatched by
                this bus without `result_ttl` and without ``confirm="stored"``: its end would not
                be reported.
            ResultTimeout: it has not ended in time.
            NoScheduler: no scheduler has run on this bus.
            RefusedJob: the result is encrypted with a key that this process does not have.
            UnreadableMessage: the result does not have the type that `handle` is annotated with.
        """
        name = check_job_id(str(job_id) if isinstance(job_id, Handle) else job_id, "result")
        check_timeout(timeout, "result")
        value = outcome_of(name, await self._ended(job_id, timeout), self.guard)
        kind = job_id.job_class if isinstance(job_id, JobHandle) else None
        return value if kind is None else decoded_result(kind, value)

    async def wait(self: _Asks, job_id: str | Handle, timeout: float | None = None) -> JobStatus:
        """Wait until a job has ended. Like `result`, it needs a job with a `result_ttl`.

        Args:
            job_id: id of the job, or its handle.
            timeout: seconds to wait; default None: no limit.

        Returns:
            Its status: "done", "failed" (with reason and error) or "cancelled".

        Raises:
            NoResult, ResultTimeout, NoScheduler: as `result`.
        """
        name = check_job_id(str(job_id) if isinstance(job_id, Handle) else job_id, "wait")
        check_timeout(timeout, "wait")
        answer = await self._ended(job_id, timeout)
        if answer["state"] == "unknown":
            raise _forgotten(name)
        error = self.guard.error(answer, name) if answer["state"] == "failed" else None
        return JobStatus(state=answer["state"], reason=answer.get("reason"), error=error)

    async def _ended(self: _Asks, job: str | Handle, timeout: float | None) -> dict[str, Any]:
        """What is known of a job that has ended, as soon as it has."""
        job_id = str(job)
        untold = isinstance(job, JobHandle) and job.is_untold
        if untold and timeout is None:
            raise NoResult(f"no result will be stored for job {job_id}: {_FIX}")
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        _ = self.requests  # in the wrong event loop it says so
        seen = False
        while True:
            await _connected(self, job_id, timeout, deadline)
            wait = max(0.0, min(_ASK_AGAIN, deadline - time.monotonic()))
            # A broker that was killed may have forgotten its scheduler, which comes back.
            seen = seen or self.sender.surroundings.scheduler is not None
            answer = await _ask(self, job_id, wait, seen=seen)
            if answer.get("state") != "pending":
                return answer
            if time.monotonic() >= deadline:
                hint = f", or its result was not stored: {_FIX}" if untold else ""
                if _is_away(self.sender.surroundings.scheduler):
                    hint = "; its state is unknown without a scheduler: routeq-mqtt scheduler"
                raise ResultTimeout(f"job {job_id} has not ended within {timeout} s{hint}")

    async def status(self: _Asks, job_id: str | Handle) -> JobStatus:
        """Return the state of a job, as far as the scheduler knows it.

        Raises:
            NoScheduler: no scheduler answers.
        """
        job_id = check_job_id(str(job_id) if isinstance(job_id, Handle) else job_id, "status")
        answer = await self.requests.ask(requests.Status(id=job_id))
        word = answer.progress
        return JobStatus(
            state=cast("State", answer.state),
            attempt=answer.attempt,
            worker=answer.worker,
            progress=None if not word else Progress(done=word[0], total=word[1], note=word[2]),
            reason=answer.reason,
            error=self.guard.error(asdict(answer), job_id),
        )


async def _connected(bus: _Asks, job_id: str, timeout: float | None, deadline: float) -> None:
    link = bus.sender.link
    try:
        async with asyncio.timeout(None if timeout is None else deadline - time.monotonic()):
            await link.ready()
    except TimeoutError:
        why = "" if link.trouble is None else f": {link.trouble}"
        raise ResultTimeout(f"job {job_id} has not ended within {timeout} s{why}") from None


async def _ask(bus: _Asks, job_id: str, wait: float, *, seen: bool) -> dict[str, Any]:
    """One request; "pending" also where the scheduler or the connection went away meanwhile.

    `seen`: there has been a scheduler since we began to wait.
    """
    around = bus.sender.surroundings
    connection = await bus.sender.link.ready()
    try:
        async with Scope() as scope:
            asked = requests.Result(id=job_id, wait=wait)
            request = scope.start(bus.requests.ask(asked, timeout=wait + 5.0), "result")
            changed = scope.start(around.scheduler_changed.wait(), "scheduler-changed")
            either: set[asyncio.Future[Any]] = {request, changed, connection.lost}
            await asyncio.wait(
                either,
                timeout=wait if _is_away(around.scheduler) else wait + _GRACE,
                return_when=asyncio.FIRST_COMPLETED,
            )
        return {"state": "pending"} if request.cancelled() else _told(request.result())
    except ConnectionFailed:
        return {"state": "pending"}
    except NoScheduler:
        if around.scheduler is None and not seen:
            raise
        await around.scheduler_changed.wait(min(_PAUSE, wait))
        return {"state": "pending"}


def _told(answer: JobAnswer) -> dict[str, Any]:
    return {name: part for name, part in asdict(answer).items() if part is not None}


def _is_away(scheduler: SchedulerStatus | None) -> bool:
    return scheduler is not None and scheduler.state != "online"


def outcome_of(job_id: str, answer: dict[str, Any], guard: Guard = OPEN) -> Any:  # noqa: ANN401
    """What `Bus.result` returns or raises, of what is known of a job that has ended."""
    state = answer["state"]
    if state == "failed":
        error = guard.error(answer, job_id)
        raise JobFailed(f"job {job_id} failed: {answer['reason']}: {error}")
    if state == "cancelled":
        why = f" {answer['reason']}" if answer.get("reason") else ""
        raise JobCancelled(f"job {job_id} was cancelled{why}")
    if state == "unknown":
        raise _forgotten(job_id)
    if "value" not in answer:
        raise NoResult(f"job {job_id} is done, and its result was not kept; {_FIX}")
    return unpack(guard.plain_result(answer["value"], job_id))


def _forgotten(job_id: str) -> NoResult:
    return NoResult(f"job {job_id} ended long ago, or never was: nothing is known of it")
