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

from routeq_mqtt.bus.events import Events
from routeq_mqtt.bus.rpc import Requests
from routeq_mqtt.bus.sender import Sender
from routeq_mqtt.presence.status import WorkerStatus
from routeq_mqtt.signal import Signal
from routeq_mqtt.version import VERSION
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.worker.announcer import Announcer
from routeq_mqtt.worker.census import answer_of
from routeq_mqtt.worker.executor import Executor, Limits
from routeq_mqtt.worker.giver import Giver
from routeq_mqtt.worker.lease import Lease
from routeq_mqtt.worker.load import LoadReports
from routeq_mqtt.worker.obedience import Obedience
from routeq_mqtt.worker.orders import Orders
from routeq_mqtt.worker.outcome import Cancelled, Done, Outcome
from routeq_mqtt.worker.pool import Pool
from routeq_mqtt.worker.presence import Presence
from routeq_mqtt.worker.presence_thread import PresenceThread, Present
from routeq_mqtt.worker.progress import ProgressBoard
from routeq_mqtt.worker.runner import Runner
from routeq_mqtt.worker.session import QueueSession
from routeq_mqtt.worker.settler import Settler
from routeq_mqtt.worker.sharing import Sharing
from routeq_mqtt.worker.teller import Teller

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.presence.status import WorkerState
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.seam import Transport
    from routeq_mqtt.worker.held import Held
    from routeq_mqtt.worker.options import WorkerOptions

log = logging.getLogger(__name__)

_SETTLE_TIMEOUT = 5.0
_AT_LEAST = 1.0
"""Seconds that each step of leaving gets, though those before it have taken longer."""

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
        most: int | None = None,
        hook: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.id = f"{options.name or socket.gethostname()}-{os.getpid()}-{new_id()[-8:]}"
        self.fenced = Signal()
        self.is_fenced = False
        self.given_up = 0
        self._topics = topics
        self._clock = clock
        self._options = options
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
            is_limited=lambda queue: queue in self.orders.limited,
        )
        self.pool = Pool(options.served, options.concurrency, self._run, most=most)
        self.settler = Settler(self.sender, self.pool)
        self.giver = Giver(self.sender, self.pool, hook)
        self.sessions = [self._make_session(transport, queue) for queue in options.served]
        self.sharing = Sharing(
            self.pool, options.concurrency, self.sessions, self.sender.surroundings, clock
        )
        self.announcer = Announcer(self.sender, clock)
        obedience = Obedience(self.sessions, self.pool, self._called_off)
        self.orders = Orders(self.sender, {self.id, options.name}, options.served, obedience)
        self.reports = LoadReports(
            self.id,
            self.sender,
            clock,
            pool=self.pool,
            sessions=self.sessions,
            orders=self.orders,
            progress=self.progress,
        )
        self.teller = Teller(self.sender, self.events, self.reports)
        self._presence = self._make_presence(transport, in_thread=in_thread)
        self.lease = Lease(self._presence, clock)
        self.runner = Runner(
            lease=self.lease,
            orders=self.orders,
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
            f"{self.id}/{queue}",
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

    async def _gate(self) -> None:
        await self.lease.gate()

    def _joined(self) -> None:
        self._presence.joined()

    def _run(self, held: Held) -> Awaitable[None]:
        return self.runner.run(held)

    def _tell_progress(self, held: Held, word: dict[str, Any]) -> None:
        self.teller.progress(held, word)

    def _called_off(self, held: Held) -> None:
        self.teller.called_off(held, Cancelled())
        self.settler.settle(held, Cancelled())

    def _answer(self, session: QueueSession, payload: bytes) -> None:
        answer = answer_of(session, payload)
        connection = self.sender.link.connection
        if answer is not None and connection is not None:
            connection.publish(self._topics.rpc("census"), answer)

    def _fence(self) -> None:
        self.is_fenced = True
        self.reports.mute()
        self.fenced.fire()

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
        self.reports.now()
        log.info("worker=%s online queues=%s", self.id, ",".join(self._options.served))

    async def stop(self) -> None:
        """Leave politely: each step makes the next one safe.

        0. No more orders: a resumed queue would join its group again.
        1. Out of the groups, so that nothing new comes.
        2. What runs finishes, `shutdown_timeout` seconds at most.
        3. The outcomes reach their next place, in what is left of that time and 5 seconds more: a
           broker that is away may be back.
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
        ends = self._clock.monotonic() + self._options.shutdown_timeout + _SETTLE_TIMEOUT

        def left() -> float:
            return max(_AT_LEAST, ends - self._clock.monotonic())

        await self.pool.finish(self._options.shutdown_timeout)
        await self.settler.finish(left())
        self._give_up()
        await self.giver.finish(min(_SETTLE_TIMEOUT, left()))
        self.events.flush()
        self.reports.stop()
        wait = min(_SETTLE_TIMEOUT, left())
        empty = await asyncio.gather(*(session.close(wait) for session in self.sessions))
        self.reports.leave(held=not all(empty))
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
        for session in self.sessions:
            await session.link.close()
        await self._leave("lost")

    async def _leave(self, state: WorkerState | None) -> None:
        await self._presence.leave(state)
        await self.sender.link.close()
        self.executor.close()

    @property
    def holds_nothing(self) -> bool:
        """Nothing runs, waits or is on its way to its next place."""
        held = any(session.holdings.held for session in self.sessions)
        return self.pool.empty and not held and not self.sharing.limited
