"""One life of a worker: an id, a presence, a session for each queue, and the pool they feed.

A worker whose sessions were adopted by the scheduler begins a new life under a new id.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.features.events import Events
from routeq_mqtt.bus.send.rpc import Requests
from routeq_mqtt.bus.send.sender import Sender
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.presence.status import WIRE, WorkerStatus
from routeq_mqtt.version import VERSION
from routeq_mqtt.wire.client_ids import of_name, of_queue
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.worker.consume.pool import Pool
from routeq_mqtt.worker.consume.requeue import Requeuer
from routeq_mqtt.worker.consume.session import QueueSession
from routeq_mqtt.worker.consume.settler import Settler
from routeq_mqtt.worker.consume.sharing import Sharing
from routeq_mqtt.worker.control.order_handler import OrderHandler
from routeq_mqtt.worker.control.orders import Orders
from routeq_mqtt.worker.execute.executor import Executor, Limits
from routeq_mqtt.worker.execute.outcome import Cancelled, Done, Outcome
from routeq_mqtt.worker.execute.progress import ProgressBoard
from routeq_mqtt.worker.report.census import answer_of
from routeq_mqtt.worker.report.event_reporter import EventReporter
from routeq_mqtt.worker.report.heartbeat import Presence
from routeq_mqtt.worker.report.heartbeat_thread import PresenceThread, Present
from routeq_mqtt.worker.report.held_jobs import HeldJobs
from routeq_mqtt.worker.report.job_log import JobLog
from routeq_mqtt.worker.report.lease import Lease
from routeq_mqtt.worker.report.load import LoadReports
from routeq_mqtt.worker.report.registration import Registration
from routeq_mqtt.worker.report.stats import RunStats
from routeq_mqtt.worker.runner import Runner

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.presence.status import WorkerState
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Transport
    from routeq_mqtt.wire.messages.census import CensusQuestion
    from routeq_mqtt.worker.delivery import Delivery
    from routeq_mqtt.worker.options import WorkerOptions

log: logging.Logger = logging.getLogger(__name__)

_SETTLE_TIMEOUT = 5.0
_AHEAD = 256
"""Short jobs that a session reads ahead at most; the broker has sent them anyway."""

_AT_LEAST = 1.0
"""Seconds that each step of leaving gets, though those before it have taken longer."""

Ended = Callable[["Delivery", Outcome], None]


class WorkerRun:
    """One run of a worker under one id: heartbeat, sessions and pool.

    Args:
        transport, topics, clock: the bus.
        options: what the worker was told.
        in_thread: run the presence in a thread of its own; False only for a broker in memory.
        ended: called with each job that ended here.
        exhausted: called when as many slots were lost as there are.
        most: how many jobs to start at all; None: no limit.
        hook: called at each step that a fault test may want to die at.

    Attributes:
        given_up: jobs that ended here, and whose outcomes found no way out before we had to leave.
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
        exhausted: Callable[[], None],
        most: int | None = None,
        hook: Callable[[str], None] = lambda step: None,
    ) -> None:
        name = of_name(options.name or socket.gethostname())
        self.id: str = f"{name}-{os.getpid()}-{new_id()[-8:]}"
        self.fenced: Notifier = Notifier()
        self.is_fenced: bool = False
        self._left = False
        self.given_up: int = 0
        self._topics = topics
        self._clock = clock
        self._options = options
        self.sender: Sender = Sender(transport, topics, f"{self.id}-out", clock=clock)
        self.requests: Requests = Requests(self.sender, options.guard.signer, clock)
        self.events: Events = Events(
            self.sender.link,
            topics,
            clock,
            self.id,
            enabled=options.events,
            reports=lambda: self.sender.surroundings.reports_no_subscribers,
        )
        self.progress: ProgressBoard = ProgressBoard(self._tell_progress)
        self.executor: Executor = Executor(
            self.id,
            clock,
            Limits(
                timeout=options.timeout,
                max_tries=options.max_tries,
                max_deliveries=options.max_deliveries,
                overrides=options.overrides,
                cancel_timeout=options.cancel_timeout,
            ),
            threads=options.threads or options.concurrency,
            guard=options.guard,
            reporter=self.progress.reporter,
            is_limited=lambda queue: queue in self.orders.limited,
            is_admitted=lambda *of: self.orders.is_admitted(*of),  # noqa: PLW0108 - made below
            is_stopped=lambda held: held.stopping,
            given_up=self._give_up_run,
        )
        self.pool: Pool = Pool(
            options.served,
            options.concurrency,
            self._run,
            most=most,
            grace=options.cancel_timeout,
            # Who says how many jobs to hold, or to run at all, gets no more than that.
            ahead=_AHEAD if options.prefetch is None and most is None else 0,
        )
        self.pool.when_exhausted = exhausted
        self.settler: Settler = Settler(self.sender, self.pool, clock, self.id)
        self.giver: Requeuer = Requeuer(self.sender, self.pool, self._covered, hook)
        self.sessions: list[QueueSession] = [
            self._make_session(transport, queue) for queue in options.served
        ]
        self.sharing: Sharing = Sharing(
            self.pool, options.concurrency, self.sessions, self.sender.surroundings, clock
        )
        self.announcer: Registration = Registration(self.sender, clock)
        obedience = OrderHandler(self.sessions, self.pool, self._called_off, self.giver.give)
        self.orders: Orders = Orders(
            self.sender, {self.id, options.name}, options.served, obedience, self.requests
        )
        self.reports: LoadReports = LoadReports(
            self.id,
            self.sender,
            clock,
            pool=self.pool,
            sessions=self.sessions,
            orders=self.orders,
            progress=self.progress,
        )
        self.orders.when_drained = self.reports.soon
        self.stats: RunStats = RunStats(self.id, self.sender, clock, self.pool)
        job_log = JobLog(clock, enabled=options.log_jobs)
        self.teller: EventReporter = EventReporter(
            self.sender, self.events, self.reports, self.stats, job_log
        )
        self._presence = self._make_presence(transport, in_thread=in_thread)
        self.lease: Lease = Lease(self._presence, clock)
        self.runner: Runner = Runner(
            lease=self.lease,
            orders=self.orders,
            pool=self.pool,
            executor=self.executor,
            settler=self.settler,
            sharing=self.sharing,
            progress=self.progress,
            teller=self.teller,
            ended=ended,
        )

    def _make_session(self, transport: Transport, queue: str) -> QueueSession:
        return QueueSession(
            transport,
            self._topics,
            queue,
            f"{self.id}/{of_queue(queue)}",
            window=self._options.window,
            jobs=self.pool,
            surroundings=self.sender.surroundings,
            gate=self._gate,
            answer=self._answer,
            joined=self._joined,
            give=self.giver.give,
            repeat=lambda held: self.settler.settle(held, Done()),
        )

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
            wire=WIRE,
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

    # What the parts say to one another; some are made before those that they speak to.

    async def _covered(self, held: Delivery) -> None:
        await self.lease.until_covers(held)

    async def _gate(self) -> None:
        await self.lease.gate()

    def _joined(self) -> None:
        self._presence.joined()

    def _run(self, held: Delivery) -> Awaitable[None] | None:
        return self.runner.start(held)

    def _give_up_run(self, held: Delivery, outcome: Outcome) -> None:
        self.runner.give_up(held, outcome)

    def _tell_progress(self, held: Delivery, word: dict[str, Any]) -> None:
        self.teller.progress(held, word)

    def _called_off(self, held: Delivery) -> None:
        self.teller.called_off(held, Cancelled())
        self.settler.settle(held, Cancelled())

    def _answer(self, session: QueueSession, asked: CensusQuestion) -> None:
        connection = self.sender.link.connection
        if connection is not None:
            connection.publish(self._topics.rpc("census"), answer_of(session, asked).encode())

    def _fence(self) -> None:
        """Adopted while we still work. What said "stopped" is adopted as well, and no news."""
        if self._left:
            return
        self.is_fenced = True
        self.reports.mute()
        self.stats.mute()
        self.fenced.notify()

    # -- a life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect; returns when every queue is subscribed."""
        self.sender.link.start()
        await self.orders.start()
        await self.sender.listen([self._topics.share(self.id)], lambda asked: self.sharing.share())
        held = HeldJobs(self.id, self.sender, self.sessions)
        await self.sender.listen([self._topics.ask(self.id), self._topics.ask("all")], held.asked)
        self.announcer.start()
        for session in self.sessions:
            session.link.start()
        for session in self.sessions:
            await session.link.ready()
        self.reports.now()
        log.info("worker=%s online queues=%s", self.id, ",".join(self._options.served))

    async def stop(self) -> None:
        """Leave gracefully: each step makes the next one safe. Not where `is_fenced`: `abandon`.

        0. No more orders: a resumed queue would join its group again.
        1. Out of the groups, so that nothing new comes.
        2. What runs finishes, `shutdown_timeout` seconds at most.
        3. The outcomes reach their next place, in what is left of that time and 5 seconds more: a
           broker that is away may be back.
        4. The broker knows that nothing runs here: what returns from a session is not charged.
        5. Sessions that are empty end; the others wait for the reaper.
        6. The status says stopped, or goes where nothing is left to adopt.
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
        ends = self._clock.monotonic() + self._options.shutdown_timeout + _SETTLE_TIMEOUT

        def left() -> float:
            return max(_AT_LEAST, ends - self._clock.monotonic())

        await self.pool.finish(self._options.shutdown_timeout)
        await self.settler.finish(left())
        self._give_up()
        await self.giver.finish(min(_SETTLE_TIMEOUT, left()))
        self.events.flush()
        await self.reports.nothing_runs(min(_SETTLE_TIMEOUT, left()))
        wait = min(_SETTLE_TIMEOUT, left())
        empty = await asyncio.gather(*(session.close(wait) for session in self.sessions))
        self.stats.leave()
        self.reports.leave(held=not all(empty))
        if not self.is_fenced:
            await self._leave(None if all(empty) else "stopped")

    def _give_up(self) -> None:
        """Say which outcomes are still here: their messages are adopted, and the jobs run again."""
        all_held = [held for one in self.sessions for held in one.holdings.held.values()]
        left = [held for held in all_held if held.ended]
        self.given_up = len(left)
        for held in left:
            log.error(
                "gave up on an outcome, the job runs again id=%s queue=%s; "
                "is the broker away, or the scheduler?",
                held.job_id,
                held.queue,
            )

    async def abandon(self) -> None:
        """Fenced: cancel what runs, acknowledge nothing, leave the sessions to the reaper."""
        self.orders.close()
        self.sharing.close()
        self.announcer.close()
        for session in self.sessions:
            for held in list(session.holdings.held.values()):
                self.pool.drop(held)
        await self.pool.finish(0.0)
        await self.settler.finish(0.0)
        await self.giver.finish(0.0)
        self.reports.stop()
        self.stats.stop()
        for session in self.sessions:
            await session.link.close()
        await self._leave("lost")

    async def _leave(self, state: WorkerState | None) -> None:
        """Once only: the thread of the presence ends here."""
        self._left = True
        await self._presence.leave(state)
        await self.sender.link.close()
        self.executor.close()

    @property
    def holds_nothing(self) -> bool:
        """Nothing runs, waits or is on its way to its next place."""
        held = any(session.holdings.held for session in self.sessions)
        return self.pool.empty and not held and not self.sharing.limited
