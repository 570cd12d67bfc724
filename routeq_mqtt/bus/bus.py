"""The bus as a program sees it: dispatch jobs, ask how many wait."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections import deque
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.controls import Controls
from routeq_mqtt.bus.devices import Devices
from routeq_mqtt.bus.events import Events
from routeq_mqtt.bus.outcomes import JobHandle, Outcomes
from routeq_mqtt.bus.rpc import Requests
from routeq_mqtt.bus.sender import Sender
from routeq_mqtt.bus.size import QueueSize, Sizes
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import (
    ConfigurationError,
    ConnectionLost,
    DispatchTimeout,
    PayloadTooLarge,
)
from routeq_mqtt.job.codec import pack_job, to_envelope
from routeq_mqtt.job.hooks import wanted
from routeq_mqtt.job.job import is_planned
from routeq_mqtt.job.options import check_option
from routeq_mqtt.outbox.options import OutboxOptions
from routeq_mqtt.settings import Settings
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.names import (
    check_chosen_name,
    check_queue_name,
    device_queue,
    is_device_queue,
)
from routeq_mqtt.wire.options import needs_admission

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from routeq_mqtt.bus.outgoing import Outgoing
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.job.job import Job
    from routeq_mqtt.outbox.options import Confirm
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.seam import Transport

_CHUNK = 500
_STORED_CHUNK = 500
_CHUNKS_AHEAD = 4
"""Parts of a `bulk` that wait for the broker while the next one is packed."""
_STORE_AGAIN = 2.0
"""Seconds until a durable dispatch without a reply is sent again; its ids are dropped if known."""


class Bus(Controls, Devices, Outcomes):
    """A connection to the job bus.

    ``async with Bus("mqtt://user:password@host:1883") as bus: await bus.dispatch(job)``

    It connects on first use, and again by itself whenever the connection is lost. One bus belongs
    to one event loop; many tasks may use it at once.

    Args:
        url: of the broker; default ``ROUTEQ_URL``, else ``mqtt://127.0.0.1:1883``.
        settings: everything else; default: from the environment.
        transport: how to reach the broker; default: over a socket.
        topics: the topics of the bus.
        clock: where time comes from.
        outbox: a file where jobs wait until the broker can be reached: `dispatch` returns once a
            job is there, and raises nothing that has to do with the broker. A path, or
            `OutboxOptions`; default ``ROUTEQ_OUTBOX``, else none.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        outbox: str | Path | OutboxOptions | None = None,
        settings: Settings | None = None,
        transport: Transport | None = None,
        topics: Topics | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings or Settings.from_environment(url=url)
        self._options = _outbox_options(outbox, self.settings)
        self._transport = transport
        self._topics = topics or self.settings.topics()
        self._clock = clock or SystemClock()
        self._outgoing: Outgoing | None = None
        self._guard = self.settings.guard()
        self._opened: Sender | None = None
        self._requests: Requests | None = None
        self._sizes: Sizes | None = None

    async def __aenter__(self) -> Bus:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def sender(self) -> Sender:
        """The connection that jobs go out on; it connects on first use."""
        sender = self._clients()[0]
        sender.link.start()
        return sender

    def _clients(self) -> tuple[Sender, Requests]:
        """Sender and requests; not connected by this alone."""
        if self._opened is None or self._requests is None:
            transport = self._transport or AioTransport(self.settings.address())
            client_id = f"routeq-{socket.gethostname()[:20]}-{os.getpid()}-{new_id()[-8:]}"
            self._opened = Sender(transport, self._topics, client_id, clock=self._clock)
            self._requests = Requests(self._opened)
            self._sizes = Sizes(self._opened, self._requests, self._clock)
        return self._opened, self._requests

    @property
    def outgoing(self) -> Outgoing | None:
        """The outbox, where there is one."""
        options = self._options
        if self._outgoing is None and options is not None:
            from routeq_mqtt.bus.outgoing import Outgoing  # SQLite: only who asked for it pays

            self._outgoing = Outgoing(
                options, self._clock, self._clients, timeout=self.settings.timeout
            )
        return self._outgoing

    @property
    def requests(self) -> Requests:
        """Requests to the scheduler."""
        _ = self.sender
        assert self._requests is not None  # noqa: S101 - made together with the sender
        return self._requests

    @property
    def sizes(self) -> Sizes:
        """What is known of queues and workers."""
        _ = self.sender
        assert self._sizes is not None  # noqa: S101 - made together with the sender
        return self._sizes

    async def open(self, timeout: float | None = None) -> None:
        """Connect; with an outbox, open that and connect in the background.

        Args:
            timeout: seconds; default: the settings'.

        Raises:
            ConnectionFailed: the broker was not reached in time; says why.
            OutboxUnavailable: the outbox's file cannot be used.
        """
        if self.outgoing is not None:
            await self.outgoing.open()
        else:
            await self._connect(timeout)

    async def _connect(self, timeout: float | None = None) -> None:
        async with self._within(timeout, "connect"):
            await self.sender.link.ready()

    async def close(self) -> None:
        """Disconnect; with an outbox, first send what can be sent within its `linger` seconds."""
        outgoing, self._outgoing = self._outgoing, None
        if outgoing is not None:
            await outgoing.close()
        sender, self._opened = self._opened, None
        if "_events" in vars(self):
            self._events.flush()
            del self._events
        if sender is not None:
            await sender.link.close()

    # -- dispatch ------------------------------------------------------------------------------

    async def dispatch(
        self,
        job: Job,
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
    ) -> JobHandle:
        """Send a job; returns its id once somebody holds it.

        One whose class says `unique_for`, `debounce_for` or `throttle_for` is admitted by the
        scheduler; then the id may be that of the job that is there already.

        Args:
            job: what to run.
            queue: default: its class's.
            to: the device that is to run it: a worker's `--name`. The scheduler stores it, and
                holds it until that worker is there.
            delay: seconds until it runs, counted from when the scheduler gets it; with an outbox
                from now, since the scheduler may get it much later.
            run_at: when it runs: a datetime (naive: local time) or UTC epoch seconds.
            expires_at: when it is too late to run it; then it becomes a failed record.
            headers: travel with the job.
            confirm: "broker" (default): the broker has it. "stored": the scheduler has committed it
                to disk, and keeps it until its outcome is known. With an outbox: who must have it
                before it leaves the outbox; default: the outbox's own.
            timeout: seconds; default: the settings'. An outbox has none, it waits for the disk.
            result_ttl: seconds for which what `handle` returns is kept; default: its class's.

        Raises:
            PackingError: an attribute cannot travel, or the job is too large; nothing was sent.
            NobodyHoldsJobs: no worker, scheduler or embedded broker is there; nothing was sent.
            NoScheduler: the job is delayed or to be stored, and no scheduler has ever run here.
            ConnectionFailed: the broker was not reached in time; nothing was sent.
            DispatchTimeout: it did not acknowledge in time; the job may run.
            OutboxFull, OutboxUnavailable: the outbox cannot keep it. With an outbox only these and
                PackingError are raised.
        """
        if to is not None:
            queue = _queue_of(to, queue)
        elif queue is not None:
            check_chosen_name(queue, "dispatch: queue")
        special = to is not None or delay or run_at is not None or expires_at is not None or headers
        if special or result_ttl is not None or self.outgoing is not None or is_planned(type(job)):
            envelope = self._envelope(job, queue, delay, run_at, expires_at, headers)
            if result_ttl is not None:
                check_option("dispatch", "result_ttl", result_ttl)
                envelope = envelope.evolve(options={**envelope.options, "result_ttl": result_ttl})
            handle = await self._dispatch(envelope, confirm, timeout)
            job.job_id = str(handle)
            return handle
        _check_delay(delay, None)
        job_id, name, payload = self._pack_now(job, queue)
        async with self._within(timeout, f"dispatch {job.name} id={job_id}"):
            await self._hand_over(name, payload, confirm, timeout)
        return self._dispatched(job_id, job.name, name)

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
    ) -> JobHandle:
        """Send a job by its wire name, where its class is not at hand; see `dispatch`."""
        where = _queue_of(to, queue) if to is not None else queue or "default"
        if to is None:
            check_chosen_name(where, "dispatch: queue")
        _check_delay(delay, None)
        envelope = Envelope(
            id=new_id(),
            job=name,
            data=dict(data),
            queue=where,
            delay=delay or None,
            expires_at=_epoch(expires_at),
            dispatched_at=self._clock.now(),
        )
        if self.outgoing is not None:
            envelope = _fixed(envelope)
        return await self._dispatch(envelope, confirm, timeout)

    async def _dispatch(
        self, envelope: Envelope, confirm: Confirm | None, timeout: float | None
    ) -> JobHandle:
        payload = self._pack(envelope)
        job_id, name = str(envelope.id), str(envelope.queue)
        if needs_admission(envelope.options) or is_device_queue(name):
            confirm = "stored"
        if self.outgoing is not None:
            await self.outgoing.put([(envelope, payload)], confirm)
            return self._dispatched(job_id, envelope.job, name)
        async with self._within(timeout, f"dispatch {envelope.job} id={job_id}"):
            if confirm == "stored":
                [job_id] = await self._store(name, [payload], timeout)
            elif envelope.delay is not None or envelope.run_at is not None:
                await self._until_sent(self._topics.schedule, payload)
            else:
                await self._hand_over(name, payload, confirm, timeout)
        return self._dispatched(job_id, envelope.job, name)

    def _dispatched(self, job_id: str, job: str, queue: str) -> JobHandle:
        if self._tells:
            self._events.tell(queue, "dispatched", job_id, job)
        return JobHandle(job_id, self)

    @property
    def _tells(self) -> bool:
        return self.settings.events or wanted("dispatched")

    @functools.cached_property
    def _events(self) -> Events:
        sender = self.sender
        enabled = self.settings.events
        return Events(sender.link, self._topics, self._clock, sender.client_id, enabled=enabled)

    async def push(self, job: Job, queue: str | None = None) -> JobHandle:
        """Send a job now; see `dispatch`."""
        return await self.dispatch(job, queue=queue)

    async def later(self, when: float | datetime, job: Job, queue: str | None = None) -> JobHandle:
        """Send a job that runs `when`: in so many seconds, or at a datetime; see `dispatch`."""
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
            As `dispatch`. The jobs before the error may have been sent.
        """
        size = _STORED_CHUNK if confirm == "stored" else _CHUNK
        if queue is not None:
            check_chosen_name(queue, "bulk: queue")
        source = iter(jobs)
        ids: list[str] = []
        if self.outgoing is not None:
            while chunk := list(islice(source, size)):
                envelopes = [self._envelope(job, queue, None, None, None, None) for job in chunk]
                await self.outgoing.put([(e, self._pack(e)) for e in envelopes], confirm)
                for envelope in envelopes:
                    ids.append(str(envelope.id))
                    self._dispatched(ids[-1], envelope.job, str(envelope.queue))
            return ids
        ahead: deque[asyncio.Task[None]] = deque()
        try:
            while chunk := list(islice(source, size)):
                if len(ahead) == _CHUNKS_AHEAD:
                    await ahead[0]
                    ahead.popleft()
                at = len(ids)
                packed = [self._pack_now(job, queue) for job in chunk]
                ids += [job_id for job_id, _, _ in packed]
                jobs_of = [(name, payload) for _, name, payload in packed]
                sending = self._send_chunk(chunk, jobs_of, confirm, ids, at, timeout)
                ahead.append(asyncio.create_task(sending, name="bulk"))
                await asyncio.sleep(0)  # it goes out while the next ones are packed
            for task in ahead:
                await task
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)
        return ids

    async def _send_chunk(
        self,
        chunk: Sequence[Job],
        packed: Sequence[tuple[str, bytes]],
        confirm: Confirm | None,
        ids: list[str],
        at: int,
        timeout: float | None,
    ) -> None:
        """To the queues; those to be stored to the scheduler, whose answers go to `ids`."""
        queues = [queue for queue, _ in packed] if self._tells else ()
        stored = _to_store(chunk, confirm)
        async with self._within(timeout, f"bulk of {len(packed)} jobs"):
            if stored:
                answers = await self._store_all([packed[number] for number in stored], timeout)
                for number, answer in zip(stored, answers, strict=True):
                    ids[at + number] = answer
                others = set(range(len(packed))).difference(stored)
                packed = [packed[number] for number in sorted(others)]
            await self._send_all(packed)
        for number, queue in enumerate(queues):
            self._dispatched(ids[at + number], chunk[number].name, queue)

    def envelope(self, job: Job, *, delay: float | None = None) -> Envelope:
        """What `dispatch` would send; the job has its id then."""
        return self._envelope(job, None, delay, None, None, None)

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
        packed = [self._pack(envelope) for envelope in envelopes]
        queue = str(envelopes[0].queue) if envelopes else "default"
        async with self._within(timeout, f"store {len(packed)} jobs"):
            return await self._store(queue, packed, timeout, **more)

    async def size(self, queue: str) -> QueueSize:
        """How many jobs of a queue the bus can see; see `QueueSize`."""
        check_queue_name(queue, "size: queue")
        await self._connect()
        return await self.sizes.of(queue)

    async def stats(self, queue: str) -> dict[str, int | bool]:
        """`size` as a plain map."""
        return (await self.size(queue)).as_dict()

    # -- inside --------------------------------------------------------------------------------

    def _envelope(
        self,
        job: Job,
        queue: str | None,
        delay: float | None,
        run_at: datetime | float | None,
        expires_at: datetime | float | None,
        headers: Mapping[str, Any] | None,
    ) -> Envelope:
        _check_delay(delay, run_at)
        if queue is not None:
            check_queue_name(queue, "dispatch: queue")
        envelope = to_envelope(
            job,
            queue=queue,
            delay=delay or None,
            run_at=_epoch(run_at),
            expires_at=_epoch(expires_at),
            headers=dict(headers) if headers else None,
            now=self._clock.now(),
        )
        return envelope if self.outgoing is None else _fixed(envelope)

    async def _hand_over(
        self, queue: str, payload: bytes, confirm: Confirm | None, timeout: float | None
    ) -> None:
        if confirm == "stored":
            await self._store(queue, [payload], timeout)
        else:
            await self._until_held(queue, payload)

    def _pack_now(self, job: Job, queue: str | None) -> tuple[str, str, bytes]:
        if self._guard.dresses:
            envelope = self._envelope(job, queue, None, None, None, None)
            return str(envelope.id), str(envelope.queue), self._pack(envelope)
        packed = pack_job(job, now=self._clock.now(), queue=queue)
        self._check_size(job.name, packed[2])
        return packed

    def _pack(self, envelope: Envelope) -> bytes:
        if self._guard.dresses:
            envelope = self._guard.dress(envelope, self._clock.now())
        payload = envelope.encode()
        self._check_size(envelope.job, payload)
        return payload

    def _check_size(self, name: str, payload: bytes) -> None:
        limit = self.settings.max_payload
        if len(payload) > limit:
            raise PayloadTooLarge(
                f"job {name!r} takes {len(payload)} bytes, more than max_payload={limit}; "
                "send a reference to the data, or raise ROUTEQ_MAX_PAYLOAD"
            )

    async def _send_all(self, packed: Sequence[tuple[str, bytes]]) -> None:
        while packed:
            packed = await self.sender.send_many(packed)

    async def _until_held(self, queue: str, payload: bytes) -> None:
        while True:
            try:
                return await self.sender.send(queue, payload)
            except ConnectionLost:
                continue

    async def _until_sent(self, topic: str, payload: bytes) -> None:
        while True:
            try:
                return await self.sender.to_scheduler(topic, payload)
            except ConnectionLost:
                continue

    async def _store(
        self, queue: str, payloads: list[bytes], timeout: float | None, **more: object
    ) -> list[str]:
        """Have jobs stored; their ids, or those of the jobs that are there already."""
        limit = self.settings.timeout if timeout is None else timeout
        topic = self._topics.store(queue)
        while True:
            try:
                ids: list[str] = await self.requests.exchange(
                    topic, payloads, timeout=limit, again=_STORE_AGAIN, **more
                )
            except ConnectionLost:
                continue
            return ids

    async def _store_all(
        self, packed: Sequence[tuple[str, bytes]], timeout: float | None
    ) -> list[str]:
        """Have jobs of several queues stored; the scheduler's answers, in order."""
        by_queue: dict[str, list[int]] = {}
        for number, (queue, _) in enumerate(packed):
            by_queue.setdefault(queue, []).append(number)
        answers = [""] * len(packed)
        for queue, numbers in by_queue.items():
            taken = await self._store(queue, [packed[number][1] for number in numbers], timeout)
            for number, job_id in zip(numbers, taken, strict=True):
                answers[number] = job_id
        return answers

    def _within(self, timeout: float | None, what: str) -> Within:
        return Within(self, self.settings.timeout if timeout is None else timeout, what)


class Within:
    """A time limit whose error says what was going on; `timeout` None: there is no limit."""

    def __init__(self, bus: Bus, timeout: float | None, what: str) -> None:
        self._bus = bus
        self._seconds = timeout
        self._what = what
        self._scope = asyncio.timeout(timeout)

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            link = self._bus.sender.link
            if link.connection is None and link.last_error is not None:
                raise link.last_error from None
            raise DispatchTimeout(
                f"{self._what}: the broker did not acknowledge within {self._seconds} s; "
                "it may have arrived"
            ) from None


def _outbox_options(
    outbox: str | Path | OutboxOptions | None, settings: Settings
) -> OutboxOptions | None:
    if isinstance(outbox, OutboxOptions):
        return outbox
    return settings.outbox_options(None if outbox is None else Path(outbox))


def _queue_of(device: str, queue: str | None) -> str:
    if queue is not None:
        raise ConfigurationError(
            f"dispatch: give either to={device!r} or queue={queue!r}: a device has its own queue"
        )
    return device_queue(device, "dispatch: to")


def _fixed(envelope: Envelope) -> Envelope:
    """With a `run_at` in place of a delay: an outbox may hold it for hours before that begins."""
    if envelope.delay is None or envelope.dispatched_at is None:
        return envelope
    return envelope.evolve(delay=None, run_at=envelope.dispatched_at + envelope.delay)


def _to_store(jobs: Sequence[Job], confirm: Confirm | None) -> Sequence[int]:
    """Which of some jobs go to the scheduler: all, where that is asked for; else the planned."""
    if confirm == "stored":
        return range(len(jobs))
    if not any(is_planned(kind) for kind in set(map(type, jobs))):
        return ()
    return [number for number, job in enumerate(jobs) if is_planned(type(job))]


def _epoch(when: datetime | float | None) -> float | None:
    return when.timestamp() if isinstance(when, datetime) else when


def _check_delay(delay: float | None, run_at: datetime | float | None) -> None:
    if delay is not None and not (isinstance(delay, int | float) and 0 <= delay < float("inf")):
        raise ConfigurationError(f"dispatch: delay={delay!r} must be 0 seconds or more")
    if delay is not None and run_at is not None:
        raise ConfigurationError("dispatch: give either delay or run_at, not both")
