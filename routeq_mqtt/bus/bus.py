"""The bus as a program sees it: dispatch jobs, ask how many wait."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from routeq_mqtt.bus.bulk import Bulk
from routeq_mqtt.bus.connection import Connected
from routeq_mqtt.bus.features.admin import Controls
from routeq_mqtt.bus.features.batches import Batches
from routeq_mqtt.bus.features.devices import Devices
from routeq_mqtt.bus.features.handles import JobHandle, Outcomes
from routeq_mqtt.bus.features.manage import Managed
from routeq_mqtt.bus.send.arguments import (
    DispatchOptions,
    check_confirm,
    check_delay,
    check_timeout,
)
from routeq_mqtt.eager import EagerCoroutine
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.hooks import wanted
from routeq_mqtt.jobs.job import Job, is_planned, no_job
from routeq_mqtt.jobs.keywords import name_of, options_of
from routeq_mqtt.jobs.options import check_option
from routeq_mqtt.wire.envelopes.options import needs_admission
from routeq_mqtt.wire.names import (
    check_chosen_name,
    check_queue_name,
    device_queue,
    is_device_queue,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from routeq_mqtt.bus.features.queue_size import QueueSize
    from routeq_mqtt.bus.send.runs import RunsAsync, RunsPlain
    from routeq_mqtt.outbox.options import Confirm
    from routeq_mqtt.wire.envelopes.envelope import Envelope

R = TypeVar("R")


class Bus(Connected, Batches, Controls, Devices, Managed, Outcomes):
    """A connection to the job bus.

    ``async with Bus("mqtt://user:password@host:1883") as bus: await bus.dispatch(job)``

    It connects on first use and reconnects when the connection is lost. A bus belongs to one event
    loop, in which any number of tasks may use it.

    Args:
        url: of the broker; default: that of `settings`, ``ROUTEQ_URL``, else ``mqtt://127.0.0.1:1883``.
        settings: all other settings; default: from the environment.
        transport: connects to the broker; default: over a socket. For tests.
        topics: names of the topics; default: those of the settings' namespace.
        clock: source of time; default: the system's clock. For tests.
        outbox: a file that keeps jobs while the broker is unreachable: `dispatch` returns when the
            job is in the file, and never raises because of the broker. A path or `OutboxOptions`;
            default ``ROUTEQ_OUTBOX``, else none.
    """

    @overload
    async def dispatch(
        self, job: RunsAsync[R], **options: Unpack[DispatchOptions]
    ) -> JobHandle[R]: ...
    @overload
    async def dispatch(
        self, job: RunsPlain[R], **options: Unpack[DispatchOptions]
    ) -> JobHandle[R]: ...
    async def dispatch(
        self,
        job: RunsAsync[Any] | RunsPlain[Any],
        *,
        queue: str | None = None,
        to: str | None = None,
        delay: float | None = None,
        run_at: datetime | float | None = None,
        expires_at: datetime | float | None = None,
        headers: Mapping[str, Any] | None = None,
        result_ttl: float | None = None,
        confirm: Confirm | None = None,
        timeout: float | None = None,
    ) -> JobHandle[Any]:
        """Send a job, and return its handle once the broker has acknowledged it.

        If its class sets `unique_for`, `debounce_for` or `throttle_for`, the scheduler decides
        whether it is added; the handle may then be that of the identical job that it already has.

        Args:
            job: an instance of a subclass of `Job`.
            queue: default: the queue of its class.
            to: the device that runs it: the `--name` of a worker. The scheduler stores the job
                until that worker is online.
            delay: seconds until it runs, counted from its arrival at the scheduler; with an outbox,
                from now.
            run_at: when it runs: a datetime (naive: local time) or UTC epoch seconds.
            expires_at: after this time it is not run, but becomes a failed record: a datetime or
                UTC epoch seconds.
            headers: a map that travels with the job.
            confirm: "broker" (default): return when the broker has the job. "stored": return when
                the scheduler has committed it to disk. With an outbox: what is needed before the
                job leaves the outbox; default: the outbox's own `confirm`.
            timeout: seconds; default: that of the settings, 10. Ignored with an outbox.
            result_ttl: seconds for which the return value of `handle` is kept; default: that of its
                class.

        Raises:
            TypeError: it is not a job.
            PackingError: an attribute cannot be sent, or the job is too large; nothing was sent.
            NoConsumer: no worker, scheduler or embedded broker is connected; nothing was sent.
            NoScheduler: the job is delayed or must be stored, and no scheduler has run on this bus.
            ConnectionFailed: the broker was not reached in time; nothing was sent.
            PublishRefused: the broker refused the message.
            DispatchTimeout: there was no acknowledgement in time; the job may run all the same.
            OutboxFull, OutboxUnavailable: the outbox cannot keep the job. With an outbox, only
                these and PackingError are raised.
        """
        if not isinstance(job, Job):
            raise TypeError(no_job(job))
        if confirm is not None or timeout is not None:
            check_confirm(confirm)
            check_timeout(timeout, "dispatch")
        if to is not None:
            queue = _queue_of(to, queue)
        elif queue is not None:
            check_chosen_name(queue, "dispatch: queue")
        special = to is not None or delay or run_at is not None or expires_at is not None or headers
        if special or result_ttl is not None or self.outgoing is not None or is_planned(type(job)):
            envelope = self._packer.envelope(
                job,
                queue=queue,
                delay=delay,
                run_at=run_at,
                expires_at=expires_at,
                headers=headers,
            )
            if result_ttl is not None:
                check_option("dispatch", "result_ttl", result_ttl)
                envelope = envelope.evolve(options={**envelope.options, "result_ttl": result_ttl})
            handle = await self._dispatch(envelope, confirm, timeout)
            job.job_id = handle.id
            handle.job_class = type(job)
            return handle
        check_delay(delay)
        job_id, name, payload = self._packer.pack_now(job, queue)
        # It is on its way before there is a timer, which a broker that answers at once needs not.
        handing = EagerCoroutine(self._places.hand_over(name, payload, confirm, timeout))
        if not handing.over:
            what, stored = f"dispatch {name_of(type(job))} id={job_id}", confirm == "stored"
            async with self._within(timeout, what, stored=stored):
                await handing
        handle = self._dispatched(job_id, name_of(type(job)), name)
        handle.job_class = type(job)
        handle.is_untold = not options_of(type(job)).result_ttl and confirm != "stored"
        return handle

    async def dispatch_named(
        self,
        name: str,
        data: Mapping[str, Any],
        *,
        queue: str | None = None,
        to: str | None = None,
        delay: float | None = None,
        expires_at: datetime | float | None = None,
        confirm: Confirm | None = None,
        timeout: float | None = None,
    ) -> JobHandle[Any]:
        """Send a job by its wire name, without importing its class; see `dispatch`."""
        check_confirm(confirm)
        where = _queue_of(to, queue) if to is not None else queue or "default"
        if to is None:
            check_chosen_name(where, "dispatch: queue")
        envelope = self._packer.named(name, data, where, delay=delay, expires_at=expires_at)
        return await self._dispatch(envelope, confirm, timeout)

    async def _dispatch(
        self, envelope: Envelope, confirm: Confirm | None, timeout: float | None
    ) -> JobHandle[Any]:
        payload = self._packer.pack(envelope)
        job_id, name = str(envelope.id), str(envelope.queue)
        if needs_admission(envelope.options) or is_device_queue(name):
            confirm = "stored"
        if self.outgoing is not None:
            await self.outgoing.put([(envelope, payload)], confirm)
            return self._dispatched(job_id, envelope.job, name)
        what, stored = f"dispatch {envelope.job} id={job_id}", confirm == "stored"
        async with self._within(timeout, what, stored=stored):
            if confirm == "stored":
                [job_id] = await self._places.store(name, [payload], timeout)
            elif envelope.delay is not None or envelope.run_at is not None:
                await self._places.schedule(payload)
            else:
                await self._places.hand_over(name, payload, confirm, timeout)
        return self._dispatched(job_id, envelope.job, name)

    def _dispatched(self, job_id: str, job: str, queue: str) -> JobHandle[Any]:
        if self._tells:
            self._events.tell(queue, "dispatched", job_id, job)
        return JobHandle(job_id, self)

    @property
    def _tells(self) -> bool:
        return self.settings.events or wanted("dispatched")

    @overload
    async def push(self, job: RunsAsync[R], queue: str | None = None) -> JobHandle[R]: ...
    @overload
    async def push(self, job: RunsPlain[R], queue: str | None = None) -> JobHandle[R]: ...
    async def push(
        self, job: RunsAsync[Any] | RunsPlain[Any], queue: str | None = None
    ) -> JobHandle[Any]:
        """Send a job now; see `dispatch`."""
        return await self.dispatch(job, queue=queue)

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
        """Send a job that runs `when`: in seconds from now, or a datetime; see `dispatch`."""
        if isinstance(when, datetime):
            return await self.dispatch(job, queue=queue, run_at=when)
        return await self.dispatch(job, queue=queue, delay=when)

    async def bulk(
        self,
        jobs: Iterable[Job],
        queue: str | None = None,
        *,
        confirm: Confirm | None = None,
        timeout: float | None = None,
    ) -> list[str]:
        """Send many jobs, pipelined: thousands are in flight at once.

        Args:
            jobs: what to run; read as they are sent.
            queue: default: each job's class's.
            confirm: as for `dispatch`; "stored" sends many jobs in one message.
            timeout: seconds for each 500 jobs; default: the settings'.

        Returns:
            The jobs' ids, in order.

        Raises:
            RouteqError: as `dispatch`. The jobs before the error may have been sent.
        """
        check_confirm(confirm)
        if isinstance(jobs, Job):
            raise TypeError(f"bulk: {jobs!r} is one job; give a list of jobs")
        if queue is not None:
            check_chosen_name(queue, "bulk: queue")
        bulk = Bulk(
            self._packer,
            self._places,
            self._within,
            self._dispatched if self._tells else None,
            queue=queue,
            confirm=confirm,
            timeout=timeout,
        )
        if self.outgoing is not None:
            await bulk.keep(jobs, self.outgoing)
        else:
            await bulk.send(jobs)
        return bulk.ids

    def envelope(self, job: Job, *, delay: float | None = None) -> Envelope:
        """What `dispatch` would send; the job has its id then."""
        return self._packer.envelope(job, delay=delay)

    async def store(
        self, envelopes: Sequence[Envelope], *, timeout: float | None = None, **more: object
    ) -> list[str]:
        """Have the scheduler take in envelopes in one transaction; see `flows`.

        Args:
            envelopes: 500 at most.
            timeout: seconds; default: the settings'.
            **more: further parts of the request.

        Returns:
            Their ids, or those of the jobs that are there already.
        """
        packed = [self._packer.pack(envelope) for envelope in envelopes]
        queue = str(envelopes[0].queue) if envelopes else "default"
        async with self._within(timeout, f"store {len(packed)} jobs", stored=True):
            return await self._places.store(queue, packed, timeout, **more)

    async def size(self, queue: str) -> QueueSize:
        """How many jobs of a queue the bus can see; see `QueueSize`."""
        check_queue_name(queue, "size: queue")
        await self._connect()
        return await self.sizes.of(queue)

    async def stats(self, queue: str) -> dict[str, Any]:
        """`size` as a plain map."""
        return (await self.size(queue)).as_dict()


def _queue_of(device: str, queue: str | None) -> str:
    if queue is not None:
        raise ConfigurationError(
            f"dispatch: give either to={device!r} or queue={queue!r}: a device has its own queue"
        )
    return device_queue(device, "dispatch: to")
