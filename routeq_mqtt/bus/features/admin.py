"""What a program, or a person, may order: cancel jobs, pause and limit queues, drain workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from routeq_mqtt.bus.features.handles import Handle
from routeq_mqtt.bus.send.arguments import check_job_id
from routeq_mqtt.imports import LateModule
from routeq_mqtt.wire.names import check_queue_name
from routeq_mqtt.wire.rates import check_rate

if TYPE_CHECKING:
    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.wire.messages import requests
    from routeq_mqtt.wire.messages.replies import Fate
    from routeq_mqtt.wire.messages.request import R, Request
else:
    requests = LateModule("routeq_mqtt.wire.messages.requests")

_LONG = 60.0
"""Seconds for what a scheduler may be busy with."""


class _Asks(Protocol):
    @property
    def requests(self) -> Requests: ...


class Controls:
    """Orders to the scheduler, which keeps them on disk and tells the workers.

    Every method raises `NoScheduler` where none answers; then ask again: twice is once.
    """

    async def cancel(self: _Asks, job_id: str | Handle) -> Fate:
        """Cancel a job, wherever it is.

        Args:
            job_id: of the job, or its handle.

        Returns:
            "cancelled": it waited in the scheduler and is gone. "asked": it runs or waits in a
            worker or the broker, or it has not been seen yet: it is stopped there, or will not
            start. "over": it had ended before. A plain function that runs in a thread cannot be
            stopped: it ends by itself.
        """
        job_id = check_job_id(str(job_id) if isinstance(job_id, Handle) else job_id, "cancel")
        fates = await self.requests.ask(requests.Cancel(ids=[job_id]))
        return fates[job_id]

    async def pause(self: _Asks, queue: str) -> None:
        """Start no more jobs of a queue; what runs goes on, what comes is kept."""
        check_queue_name(queue, "pause: queue")
        await self.requests.ask(requests.QueuePause(queue=queue))

    async def resume(self: _Asks, queue: str) -> None:
        """Start jobs of a paused queue again."""
        check_queue_name(queue, "resume: queue")
        await self.requests.ask(requests.QueueResume(queue=queue))

    async def limit_queue(self: _Asks, queue: str, rate: tuple[float, float] | None) -> None:
        """Limit how many jobs of a queue start, over all workers; the others wait in the scheduler.

        It survives restarts until it is changed. What workers were given by the
        scheduler before goes on; what they were sent past it they hand back to it, unstarted.

        Args:
            queue: to limit.
            rate: (jobs, seconds), for example (100, 60): a bucket of 100 starts, refilled by 100 in
                each 60 seconds. Another rate takes the place of the one before. None: no limit.

        Raises:
            ConfigurationError: the name or the rate makes no sense.
        """
        check_queue_name(queue, "limit_queue: queue")
        wanted = None if rate is None else check_rate("limit_queue: rate", rate)
        await _ask_long(self.requests, requests.QueueLimit(queue=queue, rate=wanted))

    async def purge(self: _Asks, queue: str) -> int:
        """Cancel all jobs of a queue that no worker has started; what runs goes on.

        Returns:
            How many jobs the scheduler and the embedded broker held; those that waited in workers
            go too and are not counted.
        """
        check_queue_name(queue, "purge: queue")
        return (await _ask_long(self.requests, requests.QueuePurge(queue=queue))).purged

    async def drain(self: _Asks, worker: str) -> None:
        """A worker takes no new jobs, and finishes what it holds; also after it was restarted.

        Args:
            worker: its id, or the `--name` that it keeps over restarts.
        """
        check_queue_name(worker, "drain: worker")
        await self.requests.ask(requests.WorkerDrain(worker=worker))

    async def undrain(self: _Asks, worker: str) -> None:
        """A drained worker takes jobs again."""
        check_queue_name(worker, "undrain: worker")
        await self.requests.ask(requests.WorkerUndrain(worker=worker))


async def _ask_long(asker: Requests, request: Request[R]) -> R:
    """Give the scheduler time; that there is none is known sooner."""
    await asker.ask(requests.Ping())
    return await asker.ask(request, timeout=_LONG)
