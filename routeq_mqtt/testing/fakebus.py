"""`fake`: a bus that remembers what was dispatched, in place of the real one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, cast, overload

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.bus.default import stand_in
from routeq_mqtt.bus.features.batches import add_jobs, listed
from routeq_mqtt.bus.features.events import Events
from routeq_mqtt.bus.features.handles import Handle, JobHandle, JobStatus
from routeq_mqtt.bus.features.manage import FailedJobs
from routeq_mqtt.bus.features.queue_size import QueueSize
from routeq_mqtt.bus.send.deadline import Deadline
from routeq_mqtt.bus.send.routing import JobRouter
from routeq_mqtt.bus.send.serializer import Serializer
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import ConfigurationError, ResultTimeout
from routeq_mqtt.security.guard import OPEN
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing.arguments import check_fake, check_moment, check_seconds
from routeq_mqtt.testing.assertions import Assertions
from routeq_mqtt.testing.dispatched import Dispatched
from routeq_mqtt.testing.fake_scheduler import unknown
from routeq_mqtt.testing.inline import Inline, due_at
from routeq_mqtt.testing.travel import TravelClock
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.messages.requests import BatchCancel, BatchShow
from routeq_mqtt.wire.names import check_queue_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.outbox.options import Confirm
    from routeq_mqtt.transport.reconnecting import Link
    from routeq_mqtt.wire.envelopes.record import FailedRecord
    from routeq_mqtt.wire.messages.replies import Fate
    from routeq_mqtt.wire.messages.request import R, Request


class FakeFailed(FailedJobs, Sequence["FailedRecord"]):
    """The records of a fake bus, as a sequence; there is no scheduler to ask for more."""

    def __init__(self, bus: FakeBus, records: Sequence[FailedRecord]) -> None:
        super().__init__(bus)
        self._records = records

    @overload
    def __getitem__(self, index: int) -> FailedRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FailedRecord]: ...
    def __getitem__(self, index: int | slice) -> FailedRecord | Sequence[FailedRecord]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __eq__(self, other: object) -> bool:
        return [*self._records] == other

    __hash__: ClassVar[None] = None  # type: ignore[assignment]


class FakeBus(Assertions, Bus):
    """A bus without a broker: made by `fake`, which puts it in place of the real one.

    A job is checked and packed as `Bus.dispatch` does it, and then recorded. Keys are left out:
    nothing is signed or sealed. Any event loop and any thread may use it.

    Args:
        run: run each job when it is dispatched.
        settings: of the bus; default: as they are without an environment.

    Attributes:
        dispatched: every job that was dispatched, in order.
    """

    def __init__(self, *, run: bool = False, settings: Settings | None = None) -> None:
        check_fake(run=run, settings=settings)
        self._travel = TravelClock(SystemClock())
        super().__init__(settings=settings or Settings(), clock=self._travel)
        self._packer = Serializer(
            OPEN, self._travel, self.settings.max_payload, keeps=self.outbox_options is not None
        )
        self._places = _Here(self)
        no_link = cast("Link", None)  # hooks are called, on the bus nothing is told
        self._hooks = Events(no_link, self._topics, self._travel, "fake", enabled=False)
        self._inline = Inline(self._travel, self._hooks) if run else None
        self._cancelled: set[str] = set()
        self.dispatched: list[Dispatched] = []

    # -- running -------------------------------------------------------------------------------

    @property
    def failed(self) -> FakeFailed:
        """Records of the jobs that failed for good, in order; with ``fake(run=True)``."""
        return FakeFailed(self, self._running("failed").failed)

    async def travel(self, seconds: float) -> None:
        """Put the time of the bus forward, and run what is due by then, in order.

        A job that runs at its time may dispatch others that are due before the end, and they run,
        too. In a test without an event loop: ``asyncio.run(bus.travel(60))``.

        Args:
            seconds: 0 or more.

        Raises:
            ConfigurationError: it goes backwards, or the jobs are only recorded.
        """
        check_seconds("travel", seconds)
        target = self._clock.now() + seconds
        check_moment("travel", seconds, target)
        await self._running("travel").travel(target)

    async def travel_to(self, when: datetime | float) -> None:
        """As `travel`, up to a datetime (naive: local time) or UTC epoch seconds."""
        target = when.timestamp() if isinstance(when, datetime) else when
        check_moment("travel_to", when, target)
        if target < self._clock.now():
            raise ConfigurationError(f"travel_to: {when!r} is past, and time only goes forward")
        await self._running("travel_to").travel(target)

    def _running(self, what: str) -> Inline:
        if self._inline is None:
            raise ConfigurationError(f"{what}: fake() only records jobs; use fake(run=True)")
        return self._inline

    # -- what became of a job ------------------------------------------------------------------

    async def _ended(self, job: str | Handle, timeout: float | None) -> dict[str, Any]:  # noqa: ARG002, RUF100
        """What is known of a job that has ended; `ResultTimeout` without waiting."""
        job_id = str(job)
        answer = self._answer(job_id)
        if answer["state"] in _ON_ITS_WAY or answer["state"] == "unknown":
            fix = _FIXES[answer["state"]] if self._inline else "use fake(run=True) to run jobs"
            raise ResultTimeout(f"job {job_id} has not ended, it is {answer['state']}; {fix}")
        return answer

    async def status(self, job_id: str | Handle) -> JobStatus:
        """Where a job is."""
        answer = self._answer(str(job_id))
        return JobStatus(
            state=answer["state"], reason=answer.get("reason"), error=answer.get("error")
        )

    async def cancel(self, job_id: str | Handle) -> Fate:
        """Cancel a job that has not run."""
        job_id = str(job_id)
        state = self._answer(job_id)["state"]
        if state == "unknown":
            return "asked"
        if state not in _ON_ITS_WAY:
            return "over"
        if self._inline is not None:
            return "cancelled" if await self._inline.cancel(job_id) else "asked"  # it runs
        self._cancelled.add(job_id)
        return "cancelled"

    async def size(self, queue: str) -> QueueSize:
        """How many jobs of a queue wait, and how many have failed."""
        check_queue_name(queue, "size: queue")
        if self._inline is not None:
            failed = sum(record.queue == queue for record in self._inline.failed)
            held = sum(one.queue == queue for one in self._inline.decisions.held())
            delayed = len(self._inline.delayed(queue))
            return QueueSize(delayed=delayed, held=held, failed=failed)
        mine = [one for one in self.dispatched if one.queue == queue]
        mine = [one for one in mine if one.id not in self._cancelled]
        delayed = sum(one.delay is not None for one in mine)
        return QueueSize(delayed=delayed, parked=len(mine) - delayed)

    def _answer(self, job_id: str) -> dict[str, Any]:
        if job_id in self._cancelled:
            return {"state": "cancelled"}
        if self._inline is not None and job_id in self._inline.ended:
            return self._inline.ended[job_id]
        found = [one for one in self.dispatched if one.id == job_id]
        if not found:
            return {"state": "unknown"}
        if self._inline is None:
            return {"state": "waiting" if found[0].delay is None else "delayed"}
        if any(one.id == job_id for one in self._inline.decisions.held()):
            return {"state": "held"}
        waiting = {envelope.id for envelope in self._inline.delayed()}
        return {"state": "delayed" if job_id in waiting else "waiting"}

    # -- in place of a broker ------------------------------------------------------------------

    async def add_to_batch(self, id: str, jobs: Iterable[Job]) -> list[str]:  # noqa: A002
        """Add jobs to a batch; one that only records them takes any id."""
        if self._inline is None:
            return await add_jobs(self, id, listed("batch: add()", jobs))
        return await super().add_to_batch(id, jobs)

    @property
    def requests(self) -> Requests:
        """Answers what is asked about batches of ``fake(run=True)``, and nothing else."""
        if self._inline is None:
            _ = self.sender
        return cast("Requests", _Asked(self._running("requests")))

    @property
    def sender(self) -> Sender:
        """There is none.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "the bus is a fake one without a broker and a scheduler, and this needs them; "
            "use MemoryBus, or the fixture routeq_broker"
        )

    async def _connect(self, timeout: float | None = None) -> None:
        """There is nothing to connect to."""

    def _within(self, timeout: float | None, what: str, *, stored: bool = False) -> Deadline:  # noqa: ARG002, RUF100
        return Deadline(self, None, what)  # a job that runs inline takes its time

    def _dispatched(self, job_id: str, job: str, queue: str) -> JobHandle[Any]:  # noqa: ARG002, RUF100
        return JobHandle(job_id, self)  # the hooks were called before it ran

    async def take(
        self, payloads: Sequence[bytes], part: dict[str, Any] | None = None
    ) -> list[str]:
        """Record jobs, and run them where that is wanted; their ids, or those of jobs before them.

        Args:
            payloads: the jobs.
            part: the batch that they begin, or go on with.
        """
        envelopes = [Envelope.decode(payload) for payload in payloads]
        now = self._clock.now()
        for envelope in envelopes:
            at = due_at(envelope, now)
            delay = envelope.delay if at is None or envelope.delay is not None else at - now
            self.dispatched.append(Dispatched(envelope, delay))
            self._hooks.tell(str(envelope.queue), "dispatched", str(envelope.id), envelope.job)
        if self._inline is not None:
            return await self._inline.admit(envelopes, part)
        return [str(envelope.id) for envelope in envelopes]


_ON_ITS_WAY = frozenset({"waiting", "delayed", "held"})

_FIXES = {
    "delayed": "travel to its time",
    "held": "the jobs before it must be done first: look at bus.failed, or travel to their time",
    "waiting": "it runs when the job that dispatched it is over",
    "unknown": "it was not dispatched on this fake bus",
}
"""What helps who waits for a job that has not ended."""


class _Asked:
    """In place of requests to a scheduler."""

    def __init__(self, inline: Inline) -> None:
        self._inline = inline

    async def ask(self, request: Request[R], *, timeout: float = 5.0) -> R:  # noqa: ARG002, RUF100
        """What is known of a batch, and its end."""
        if isinstance(request, BatchCancel):
            await self._inline.cancel_batch(request.id)
        elif not isinstance(request, BatchShow):
            raise unknown(request.METHOD)
        shown = self._inline.decisions.batch(request.id)
        return cast("Request[R]", request).read_reply(shown)


class _Here(JobRouter):
    """All jobs are held here, in place of the broker and the scheduler."""

    def __init__(self, bus: FakeBus) -> None:
        super().__init__(bus, bus.settings.topics(), bus.settings.timeout)
        self._fake = bus

    async def hand_over(
        self, queue: str, payload: bytes, confirm: Confirm | None, timeout: float | None
    ) -> None:
        await self._fake.take([payload])

    async def schedule(self, payload: bytes) -> None:
        await self._fake.take([payload])

    async def store(
        self, queue: str, payloads: list[bytes], timeout: float | None, **more: object
    ) -> list[str]:
        part = more.get("batch")
        return await self._fake.take(payloads, part if isinstance(part, dict) else None)

    async def send_all(self, packed: Sequence[tuple[str, bytes]]) -> None:
        await self._fake.take([payload for _, payload in packed])


class fake:  # noqa: N801 - used as a function
    """A fake bus in place of the real one, for a test: ``with fake() as bus: …``.

    While it lasts, `dispatch`, `queue`, `default_bus` and every `SyncBus` of this process use it,
    in all threads and event loops; an explicit `Bus` does not. ``async with`` is the same.

    Args:
        run: run each job when it is dispatched, by the rules of a worker: attempts follow at once,
            what they would wait passes for that job alone. Delayed jobs, and those that have
            released themselves for later, wait for `FakeBus.travel`.
        settings: of the bus, such as `max_payload`; default: as they are without an environment.
    """

    def __init__(self, *, run: bool = False, settings: Settings | None = None) -> None:
        self._run = run
        self._settings = settings
        self._stack = ExitStack()

    def __enter__(self) -> FakeBus:
        bus = FakeBus(run=self._run, settings=self._settings)
        self._stack.enter_context(stand_in(bus))
        return bus

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    async def __aenter__(self) -> FakeBus:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
