"""What became of a job: its state while it is on its way, its result afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from routeq_mqtt.bus.arguments import check_job_id, check_timeout
from routeq_mqtt.errors import (
    ConnectionFailed,
    JobCancelled,
    JobFailed,
    NoResult,
    NoScheduler,
    ResultTimeout,
)
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.wire.packing import unpack

if TYPE_CHECKING:
    from routeq_mqtt.bus.controls import Fate
    from routeq_mqtt.bus.rpc import Requests
    from routeq_mqtt.bus.sender import Sender
    from routeq_mqtt.presence.status import SchedulerStatus
    from routeq_mqtt.security.guard import Guard

State = Literal[
    "delayed", "parked", "held", "limited", "waiting", "running", "done", "failed", "cancelled",
    "unknown",
]  # fmt: skip

_ASK_AGAIN = 30.0
"""Seconds after which an open request is made again, should its reply have got lost."""

_PAUSE = 0.5

_GRACE = 1.0
"""Seconds beyond the time-out, for a scheduler that answers when that is over."""

_MEND = "set result_ttl in its class, in seconds, or at its dispatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a running job says of itself: `done` of `total`, and a note."""

    done: float
    total: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """Where a job is.

    Attributes:
        state: "delayed" and "parked": in the scheduler; "held": there, for other jobs; "limited":
            there, for its turn; "waiting": at the broker or in a worker; "running"; "done",
            "failed", "cancelled": it has ended; "unknown": it is on the express lane, was never
            seen, or ended long ago.
        attempt: which attempt it is, where that is known.
        worker: that runs it.
        progress: of a running job that tells it.
        reason, error: of a failed job; reason also of one that was cancelled with others: "with its
            chain", "with its batch".
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
    async def cancel(self, job_id: str) -> Fate: ...
    async def result(self, job_id: str, timeout: float | None = None) -> Any: ...  # noqa: ANN401
    async def status(self, job_id: str) -> JobStatus: ...


class JobHandle(str):
    """The id of a dispatched job, and a way to ask what became of it.

    It is a text like any other: keep it, print it, send it; `Bus.handle` makes one of a text.
    """

    __slots__ = ("_bus", "is_untold")

    _bus: _Asks
    is_untold: bool
    """Whether nobody will hear of its end, unless it fails: nothing of it is kept."""

    def __new__(cls, job_id: str, bus: _Asks) -> JobHandle:
        """Of an id and the bus to ask on."""
        handle = super().__new__(cls, job_id)
        handle._bus = bus
        handle.is_untold = False
        return handle

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)

    async def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - what it returned
        """What `handle` returned, as soon as it has; see `Bus.result`."""
        return await self._bus.result(self, timeout)

    async def status(self) -> JobStatus:
        """Where the job is; see `Bus.status`."""
        return await self._bus.status(self)

    async def cancel(self) -> Fate:
        """Cancel the job; see `Bus.cancel`."""
        return await self._bus.cancel(self)


class Outcomes:
    """The part of a bus that asks what became of a job."""

    def handle(self: _Asks, job_id: str) -> JobHandle:
        """A handle of a job that was dispatched before, or elsewhere."""
        return JobHandle(job_id, self)

    async def result(self: _Asks, job_id: str, timeout: float | None = None) -> Any:  # noqa: ANN401
        """What a job's `handle` returned, as soon as it has.

        The scheduler pushes it; nothing polls. The job needs a `result_ttl`, in its class or at its
        dispatch: seconds for which the result is kept.

        Args:
            job_id: of the job.
            timeout: seconds to wait; default: as long as it takes.

        Raises:
            JobFailed: it became a failed record; says why.
            JobCancelled: it was cancelled.
            NoResult: it is done, and its result was not kept, or not for so long. Without a
                timeout also at once, where a wait could have no end: a job that was dispatched here
                without a `result_ttl`, and not with ``confirm="stored"``.
            ResultTimeout: it has not ended in time.
            NoScheduler: none has ever run on this bus.
            RefusedJob: the result is sealed, and no key of this process opens it.
        """
        check_job_id(job_id, "result")
        check_timeout(timeout, "result")
        untold = isinstance(job_id, JobHandle) and job_id.is_untold
        if untold and timeout is None:
            raise NoResult(f"job {job_id} may end unheard: {_MEND}")
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
                return outcome_of(job_id, answer, self.guard)
            if time.monotonic() >= deadline:
                hint = f", or has ended unheard: {_MEND}" if untold else ""
                if _is_away(self.sender.surroundings.scheduler):
                    hint = "; nobody can tell while the scheduler is away: routeq-mqtt scheduler"
                raise ResultTimeout(f"job {job_id} has not ended within {timeout} s{hint}")

    async def status(self: _Asks, job_id: str) -> JobStatus:
        """Where a job is, as far as the bus can see.

        Raises:
            NoScheduler: none answers.
        """
        check_job_id(job_id, "status")
        answer = await self.requests.call("status", id=job_id)
        word = answer.get("progress")
        return JobStatus(
            state=answer["state"],
            attempt=answer.get("attempt"),
            worker=answer.get("worker"),
            progress=None if not word else Progress(done=word[0], total=word[1], note=word[2]),
            reason=answer.get("reason"),
            error=self.guard.error(answer, job_id),
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
    request = asyncio.create_task(
        bus.requests.call("result", id=job_id, wait=wait, timeout=wait + 5.0)
    )
    changed = asyncio.create_task(around.scheduler_changed.wait())
    try:
        await asyncio.wait(
            {request, changed, connection.lost},
            timeout=wait if _is_away(around.scheduler) else wait + _GRACE,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not request.done():
            return {"state": "pending"}
        return dict(request.result())
    except ConnectionFailed:
        return {"state": "pending"}
    except NoScheduler:
        if around.scheduler is None and not seen:
            raise
        await around.scheduler_changed.wait(min(_PAUSE, wait))
        return {"state": "pending"}
    finally:
        for task in (request, changed):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


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
    if "value" not in answer:
        raise NoResult(f"job {job_id} is done, and its result was not kept; {_MEND}")
    return unpack(guard.plain_result(answer["value"], job_id))
