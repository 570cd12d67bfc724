"""One life of a worker: an id, a presence, a session for each queue, and the pool they feed.

A worker whose sessions were adopted by the scheduler begins a new life under a new id.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.events import Events
from routeq_mqtt.bus.rpc import Requests
from routeq_mqtt.bus.sender import Sender
from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.presence.status import WorkerLoad, WorkerStatus, encode
from routeq_mqtt.signal import Signal
from routeq_mqtt.version import VERSION
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.packing import pack, unpack
from routeq_mqtt.worker.announcer import Announcer
from routeq_mqtt.worker.executor import Executor, Limits
from routeq_mqtt.worker.giver import Giver
from routeq_mqtt.worker.orders import Orders
from routeq_mqtt.worker.outcome import Cancelled, Done, Outcome, event_of
from routeq_mqtt.worker.pool import Pool
from routeq_mqtt.worker.presence import Presence
from routeq_mqtt.worker.presence_thread import PresenceThread, Present
from routeq_mqtt.worker.progress import ProgressBoard
from routeq_mqtt.worker.session import QueueSession
from routeq_mqtt.worker.settler import Settler
from routeq_mqtt.worker.sharing import Sharing

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.presence.status import WorkerState
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.seam import Transport
    from routeq_mqtt.wire.envelope import Envelope
    from routeq_mqtt.worker.held import Held
    from routeq_mqtt.worker.options import WorkerOptions

log = logging.getLogger(__name__)

_REPORT_EVERY = 0.1
_REPORT_SPACING, _REPORT_BURST = 0.05, 1.0
"""Seconds: 20 reports a second in the long run, 20 at once; a start beyond that is told a little
later, with others, and may be missed if it kills its worker within `_REPORT_EVERY`."""

_REPORTED_IDS = 1_000
_SUSPECT = 2
"""Deaths after which a job no longer runs beside others like it: they would be charged with it."""
_SETTLE_TIMEOUT = 5.0


def uncancel() -> None:
    """The running task goes on: its cancellation was meant for what it awaited."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


Ended = Callable[["Held", Outcome], None]


class Incarnation:
    """See the module.

    Args:
        transport, topics, clock: the bus.
        options: what the worker was told.
        in_thread: run the presence in a thread of its own; False only for a broker in memory.
        ended: called with each job that ended here.
        most: how many jobs to start at all; None: no limit.
        hook: called at each step that a fault test may want to die at.
    """

    def __init__(
        self,
        transport: Transport,
        topics: Topics,
        clock: Clock,
        options: WorkerOptions,
        *,
        in_thread: bool,
        ended: Ended,
        most: int | None = None,
        hook: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.id = f"{options.name or socket.gethostname()}-{os.getpid()}-{new_id()[-8:]}"
        self.fenced = Signal()
        self.is_fenced = False
        self.counters: Counter[str] = Counter()
        self.last_activity = clock.monotonic()
        self._topics = topics
        self._clock = clock
        self._options = options
        self._ended = ended
        self._reporting: asyncio.TimerHandle | None = None
        self._report_due = 0.0
        self._suspects = asyncio.Lock()
        self.sender = Sender(transport, topics, f"{self.id}.out", clock=clock)
        self.requests = Requests(self.sender)
        self.events = Events(self.sender.link, topics, clock, self.id, enabled=options.events)
        self.progress = ProgressBoard(self._tell_progress)
        self.executor = Executor(
            self.id,
            clock,
            Limits(
                timeout=options.timeout,
                max_tries=options.max_tries,
                max_deliveries=options.max_deliveries,
            ),
            threads=options.threads or options.concurrency,
            guard=options.guard,
            reporter=self.progress.reporter,
        )
        self.pool = Pool(options.served, options.concurrency, self._run, most=most)
        self.settler = Settler(self.sender, self.pool)
        self.giver = Giver(self.sender, self.pool, hook)
        self.sessions = [
            QueueSession(
                transport,
                topics,
                queue,
                f"{self.id}/{queue}",
                window=options.window,
                jobs=self.pool,
                surroundings=self.sender.surroundings,
                gate=self._gate,
                answer=self._answer,
                joined=self._joined,
                give=self.giver.give,
                repeat=lambda held: self.settler.settle(held, Done()),
            )
            for queue in options.served
        ]
        self.sharing = Sharing(
            self.pool, options.concurrency, self.sessions, self.sender.surroundings, clock
        )
        self.announcer = Announcer(self.sender, clock)
        self.orders = Orders(self.sender, {self.id, options.name}, options.served, self)
        self._presence = self._make_presence(transport, in_thread=in_thread)

    def _make_presence(self, transport: Transport, *, in_thread: bool) -> Present:
        options = self._options
        status = WorkerStatus(
            id=self.id,
            state="online",
            queues=list(options.served),
            sessions=[session.client_id for session in self.sessions],
            concurrency=options.concurrency,
            window=options.window,
            name=options.name,
            tags=dict(options.tags),
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._clock.now(),
            version=VERSION,
        )

        def make(fenced: Callable[[], None], pulse: Callable[[], float]) -> Presence:
            return Presence(
                transport,
                self._topics,
                self._clock,
                status,
                fenced=fenced,
                pulse=pulse,
                stall_limit=options.stall_limit,
            )

        if in_thread:
            return PresenceThread(make, self._fence)
        presence = make(self._fence, lambda: 0.0)
        presence.start()
        return presence

    # -- a life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect; returns when every queue is subscribed."""
        self.sender.link.start()
        await self.orders.start()
        await self.sender.listen([self._topics.share(self.id)], lambda asked: self.sharing.share())
        self.announcer.start()
        for session in self.sessions:
            session.link.start()
        for session in self.sessions:
            await session.link.ready()
        self._report()
        log.info("worker=%s online queues=%s", self.id, ",".join(self._options.served))

    async def _gate(self) -> None:
        """No session connects before the lease on it is known to be sound."""
        if not await self._presence.lease():
            await asyncio.Future()  # fenced: this life is over, and `abandon` cancels us

    def _joined(self) -> None:
        self._presence.joined()

    def _fence(self) -> None:
        self.is_fenced = True
        self.fenced.fire()

    async def stop(self) -> None:
        """Leave politely: each step makes the next one safe.

        0. No more orders: a resumed queue would join its group again.
        1. Out of the groups, so that nothing new comes.
        2. What runs finishes, `shutdown_timeout` seconds at most.
        3. The outcomes reach their next place.
        4. Sessions that are empty end; the others wait for the reaper.
        5. The status says stopped, or goes where nothing is left to adopt.
        """
        self.orders.close()
        self.sharing.close()
        self.announcer.close()
        self.pool.close()
        for session in self.sessions:
            session.leave_group()
        for held in list(self.pool.running):
            if not held.started:  # it waits for a broker that is away: it is adopted
                self.pool.drop(held)
        await self.pool.finish(self._options.shutdown_timeout)
        await self.settler.finish(_SETTLE_TIMEOUT)
        await self.giver.finish(_SETTLE_TIMEOUT)
        self.events.flush()
        self._stop_reporting()
        empty = await asyncio.gather(*(session.close() for session in self.sessions))
        self._tell_load(b"" if all(empty) else encode(WorkerLoad()))
        await self._leave(None if all(empty) else "stopped")

    async def abandon(self) -> None:
        """Fenced: cancel what runs, acknowledge nothing, leave the sessions to the reaper."""
        self.orders.close()
        self.sharing.close()
        self.announcer.close()
        for session in self.sessions:
            for held in list(session.held.values()):
                self.pool.drop(held)
        await self.pool.finish(0.0)
        await self.settler.finish(0.0)
        await self.giver.finish(0.0)
        self._stop_reporting()
        for session in self.sessions:
            await session.link.close()
        await self._leave("lost")

    async def _leave(self, state: WorkerState | None) -> None:
        await self._presence.leave(state)
        await self.sender.link.close()
        self.executor.close()

    # -- a job ---------------------------------------------------------------------------------

    async def _run(self, held: Held) -> None:
        if not self._is_ours(held):
            await self._until_ours(held)
        if held.envelope is not None and held.envelope.deaths >= _SUSPECT:
            async with self._suspects:
                await self._run_ours(held)
        else:
            await self._run_ours(held)

    async def _run_ours(self, held: Held) -> None:
        self.last_activity = self._clock.monotonic()
        held.started = True
        envelope = held.envelope
        job = envelope.job if envelope is not None else "?"
        attempt = envelope.attempt if envelope is not None else 1
        try:
            await self._tell_start(envelope)
            self.sharing.busy()
            if held.job_id in self.orders.cancelled:
                outcome: Outcome = Cancelled()
            else:
                self.events.tell(held.queue, "started", held.job_id, job, attempt=attempt)
                if envelope is not None and envelope.options.get("unique_until") == "started":
                    await self.settler.tell_started(held)
                outcome = await self.executor.execute(held)
            if not self._is_ours(held):
                await self._until_ours(held)
        except asyncio.CancelledError:
            if held.dropped or held.job_id not in self.orders.cancelled:
                raise
            uncancel()
            outcome = Cancelled()
        finally:
            self.progress.over(held)
        if held.dropped:
            return
        self._count(held, outcome, job, attempt)
        self.settler.settle(held, outcome)
        self._ended(held, outcome)

    async def _tell_start(self, envelope: Envelope | None) -> None:
        """Report a start: now, while there are few; soon, together with others."""
        if envelope is not None and envelope.deliveries > 1:
            # A worker died holding it. Should we die of it too, the reaper must know.
            await self.sender.link.ready()
        elif self._clock.monotonic() < self._report_due - _REPORT_BURST:
            self._report_soon()
            return
        self._report()
        await asyncio.sleep(0)  # the bytes are with the kernel after this turn of the loop

    def _is_ours(self, held: Held) -> bool:
        """Whether nobody can have taken the job over.

        A process that was stopped, or cut off, for longer than its lease may find its jobs running
        elsewhere: it starts none and settles none before it knows.
        """
        return self._clock.monotonic() < self._presence.sound_until and held.holder.owns(held)

    async def _until_ours(self, held: Held) -> None:
        """Wait until we know; a job that went to somebody else is cancelled here meanwhile."""
        while not self._is_ours(held):
            await self._gate()
            await held.holder.until_owned(held)

    def _tell_progress(self, held: Held, word: dict[str, Any]) -> None:
        if held.envelope is not None:
            job, attempt = held.envelope.job, held.envelope.attempt
            self.events.tell(held.queue, "progress", held.job_id, job, attempt=attempt, **word)
            self._report_soon()

    def _count(self, held: Held, outcome: Outcome, job: str, attempt: int) -> None:
        self.last_activity = self._clock.monotonic()
        told = event_of(outcome)
        if told is not None:
            event, more = told
            self.counters[event] += 1
            self.events.tell(held.queue, event, held.job_id, job, attempt=attempt, **more)

    # -- orders (see `Obeys`) ------------------------------------------------------------------

    def cancel(self, job_id: str) -> None:
        """Stop a job that runs; settle one that waits."""
        for held in self._held():
            if held.job_id == job_id and not self.pool.stop(held):
                self._call_off(held)

    def open_queue(self, queue: str, *, is_open: bool, start: bool) -> None:
        """Join or leave the group of a queue; `start`: whether what is held is still started."""
        for session in self.sessions:
            if session.queue == queue:
                (session.join_group if is_open else session.leave_group)()
                (self.pool.resume if start else self.pool.pause)(queue)

    def purge(self, queue: str) -> None:
        """Settle what waits here of a queue, unstarted."""
        for held in self._held():
            if held.queue == queue:
                self._call_off(held)

    def _held(self) -> list[Held]:
        return [held for session in self.sessions for held in session.held.values()]

    def _call_off(self, held: Held) -> None:
        if self.pool.withdraw(held):
            job = held.envelope.job if held.envelope is not None else "?"
            self._count(held, Cancelled(), job, 1)
            self.settler.settle(held, Cancelled())
            self._report_soon()

    # -- what we say ---------------------------------------------------------------------------

    def _load(self) -> bytes:
        running = list(self.pool.running)
        active = Counter(held.queue for held in running)
        return encode(
            WorkerLoad(
                running={
                    held.job_id: held.envelope.attempt if held.envelope is not None else 1
                    for held in running[:_REPORTED_IDS]
                },
                waiting={
                    session.queue: len(session.held) - active[session.queue]
                    for session in self.sessions
                },
                active=dict(active),
                counters=dict(self.counters),
                drained=self.orders.drained,
                progress={
                    held.job_id: word
                    for held in running[:_REPORTED_IDS]
                    if (word := self.progress.of(held)) is not None
                },
            )
        )

    def _report_soon(self) -> None:
        if self._reporting is None:
            self._reporting = asyncio.get_running_loop().call_later(_REPORT_EVERY, self._report)

    def _report(self) -> None:
        """Publish the load from the worker's own loop: it is what knows it.

        As long as there are few reports, each job is in one that left before the job began: one
        that kills its worker at once is found out at once.
        """
        self._stop_reporting()
        self._report_due = max(self._clock.monotonic(), self._report_due) + _REPORT_SPACING
        told = self._tell_load(self._load())
        if not told or not self.pool.empty:
            self._report_soon()

    def _tell_load(self, load: bytes) -> bool:
        connection = self.sender.link.connection
        if connection is None or self.is_fenced:
            return False
        connection.publish(self._topics.running(self.id), load, retain=True)
        return True

    def _stop_reporting(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
            self._reporting = None

    def _answer(self, session: QueueSession, payload: bytes) -> None:
        """Answer a census: which of these jobs this session holds, and which were done in it."""
        try:
            question = unpack(payload)
            asked = {str(job_id): int(attempt) for job_id, attempt in question["jobs"]}
            number = question["census"]
        except (UnreadableMessage, KeyError, TypeError, ValueError):
            log.warning("a message to session=%s is no census", session.client_id)
            return
        done = session.done_lately()
        answer = {
            "census": number,
            "session": session.client_id,
            "held": [held.job_id for held in session.held.values() if held.job_id in asked],
            "done": [job for job, attempt in asked.items() if done.get(job, 0) >= attempt],
        }
        connection = self.sender.link.connection
        if connection is not None:
            connection.publish(self._topics.rpc("census"), pack({"args": answer}))

    @property
    def holds_nothing(self) -> bool:
        """Nothing runs, waits or is on its way to its next place."""
        held = any(session.held for session in self.sessions)
        return self.pool.empty and not held and not self.sharing.limited
