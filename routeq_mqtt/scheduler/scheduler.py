"""The scheduler: one connection, one store, and a small role for each thing that it does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.sender import Sender
from routeq_mqtt.bus.surroundings import Surroundings
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import (
    ConfigurationError,
    ConnectionLost,
    RouteqError,
    SchedulerRunning,
)
from routeq_mqtt.presence.fleet import Fleet
from routeq_mqtt.presence.status import SchedulerStatus, decode, encode
from routeq_mqtt.scheduler.admission import Admission
from routeq_mqtt.scheduler.balancer import Balancer
from routeq_mqtt.scheduler.batches import Batches
from routeq_mqtt.scheduler.calendar import Calendar, SteadyClock
from routeq_mqtt.scheduler.census import Census
from routeq_mqtt.scheduler.checkpointer import Checkpointer
from routeq_mqtt.scheduler.context import Context, Hook, no_hook
from routeq_mqtt.scheduler.control import Control
from routeq_mqtt.scheduler.devices import Devices
from routeq_mqtt.scheduler.expirer import Expirer
from routeq_mqtt.scheduler.feeder import Feeder
from routeq_mqtt.scheduler.guard import Place, refuse_second, running
from routeq_mqtt.scheduler.handover import Handover
from routeq_mqtt.scheduler.intake import Intake
from routeq_mqtt.scheduler.janitor import Janitor
from routeq_mqtt.scheduler.limiter import Limiter
from routeq_mqtt.scheduler.limits import Limits
from routeq_mqtt.scheduler.orders import OrderBook
from routeq_mqtt.scheduler.publisher import FEED_WINDOW, Publisher
from routeq_mqtt.scheduler.reaper import LOST_AFTER, PATIENCE, Reaper
from routeq_mqtt.scheduler.registrar import Registrar
from routeq_mqtt.scheduler.releaser import Releaser
from routeq_mqtt.scheduler.results import Results
from routeq_mqtt.scheduler.rollouts import Rollouts
from routeq_mqtt.scheduler.rows import StoreUnavailable
from routeq_mqtt.scheduler.store import Store
from routeq_mqtt.scheduler.ticker import Ticker
from routeq_mqtt.scheduler.timetable import Timetable
from routeq_mqtt.scheduler.triggers import Triggers
from routeq_mqtt.security.guard import OPEN, Guard
from routeq_mqtt.signal import Signal
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID, Topics
from routeq_mqtt.transport.link import Link
from routeq_mqtt.transport.seam import ConnectOptions, Will
from routeq_mqtt.version import VERSION
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.transport.seam import Connection, Message, Transport

log = logging.getLogger(__name__)

_NEVER = 0xFFFFFFFF
"""Session expiry (MQTT 5, 3.1.2.11.2): the broker keeps collecting for us without an end."""

_KEEP_ALIVE = 5

_ASK_AGAIN = 5.0
"""Seconds until sessions that did not answer are asked again."""
_STORE_AGAIN = 1.0
_GATHER = 0.2
"""Seconds in which changes of the fleet are gathered into one census."""

OpenStore = Callable[["Path"], Awaitable[Store]]
_HAND_OVER_WITHIN = 60.0
_START_ALONE = "stop the other scheduler and start one with this file, until they are done"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerOptions:
    """How a scheduler works.

    Attributes:
        db: the SQLite file.
        lost_after: seconds between a worker's Last Will and its adoption; default 1.
        schedules: of the job classes that this process knows, as `bus.timetable` announces them.
        feed_window: rows of one queue in the workers' hands at most; default 2000.
        bridged: names of queues, with ``*``, whose `$queue` messages a bridge of the broker takes
            elsewhere: it holds them, so we do not.
        guard: signs jobs of triggers, and again what an operator retries; default: no keys.
    """

    db: Path
    lost_after: float = LOST_AFTER
    feed_window: int = FEED_WINDOW
    bridged: tuple[str, ...] = ()
    guard: Guard = OPEN
    schedules: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.lost_after < inf:
            raise ConfigurationError(
                f"scheduler: lost_after={self.lost_after!r} must be 0 seconds or more"
            )


class Scheduler:
    """Keeps delayed jobs, retries, parked jobs and failed records, and recovers from deaths.

    Args:
        transport: how to reach the broker.
        options: see there.
        topics: the topics of the bus.
        clock: where time comes from.
        hook: called at each step that a fault test may want to die at.
        open_store: opens the database.
    """

    def __init__(
        self,
        transport: Transport,
        options: SchedulerOptions,
        *,
        topics: Topics | None = None,
        clock: Clock | None = None,
        hook: Hook = no_hook,
        open_store: OpenStore = Store.open,
    ) -> None:
        self.online = asyncio.Event()
        self._transport = transport
        self._options = options
        self._topics = topics or Topics()
        self._clock = clock or SystemClock()
        self._hook = hook
        self._open_store = open_store
        self._fleet_moved = Signal()
        self._census_due = False
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._status = SchedulerStatus(
            instance=new_id()[-12:],
            state="online",
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._clock.now(),
            db=str(options.db),
            version=VERSION,
        )

    def stop(self) -> None:
        """Commit what has arrived and leave; `run` returns after that."""
        if not self._ended.done():
            self._ended.set_result(None)

    async def run(self) -> None:
        """Work until stopped.

        Raises:
            SchedulerRunning: another scheduler works on this bus.
            ConfigurationError: the database is of a later version, or another process holds it.
        """
        begun = asyncio.create_task(self._begin(), name="begin")
        either: set[asyncio.Future[Any]] = {begun, self._ended}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            begun.cancel()  # unless it is done: it may wait for broker or disk for ever
            await asyncio.gather(begun, return_exceptions=True)
        if begun.cancelled():
            return
        store = begun.result()
        try:
            await self._work(store)
        finally:
            await store.close()

    async def _begin(self) -> Store:
        await refuse_second(self._transport, self._topics, self._clock)
        store = await self._open_store(self._options.db)
        try:
            await self._make_session()  # the database is ours: so is the session
        except BaseException:
            await store.close()
            raise
        return store

    async def _work(self, store: Store) -> None:
        orders = OrderBook(store.database)
        await orders.load()
        fleet = Fleet(self._topics)
        clock = SteadyClock(self._clock)
        results = Results(store.database, fleet, clock)
        context = Context(
            store=store,
            orders=orders,
            results=results,
            topics=self._topics,
            clock=clock,
            fleet=fleet,
            surroundings=Surroundings(self._topics, SCHEDULER_CLIENT_ID),
            hook=self._hook,
            guard=self._options.guard,
            bridged=self._options.bridged,
        )
        self._context = context
        publisher = Publisher(context, window=self._options.feed_window)
        await publisher.begin()
        self._census = Census(context, publisher)
        self._balancer = Balancer(context)
        admission = Admission(store.database, self._options.guard)
        limits = Limits(store.database)
        self._control = Control(context, self._transport)
        self._triggers = Triggers(context)
        await self._triggers.load()
        self._intake = Intake(
            context, publisher, admission, self._control, self._census, self._triggers
        )
        batches = Batches(context, self._control)
        ticker = Ticker(context, Timetable(store.database), self._intake)
        if self._options.schedules:
            await ticker.announce(list(self._options.schedules))
        others = self._control.methods | self._triggers.methods | results.methods
        self._devices = devices = Devices(context)
        await devices.load()
        rollouts = Rollouts(context, devices, admission)
        others |= batches.methods | ticker.methods | devices.methods | rollouts.methods
        self._registrar = Registrar(context, self._status, others)
        self._requests: set[asyncio.Task[None]] = set()
        self._reaper = reaper = Reaper(
            context, self._transport, self._census, lost_after=self._options.lost_after
        )
        self._place = Place(self._transport, self._topics, self._clock, self._status)
        context.link = self._make_link()
        context.link.start()
        roles = {
            "intake": self._intake.run(),
            "calendar": Calendar(context, store.database).run(),
            "feeder": Feeder(context, publisher).run(),
            "releaser": Releaser(context, publisher).run(),
            "ticker": ticker.run(),
            "limiter": Limiter(context, limits).run(),
            "expirer": Expirer(context).run(),
            "devices": devices.run(),
            "rollouts": rollouts.run(),
            "reaper": reaper.run(),
            "checkpointer": Checkpointer(store.database).run(),
            "janitor": Janitor(
                context,
                self._control.tidy,
                admission.tidy,
                batches.tidy,
                limits.tidy,
                results.purge,
            ).run(),
            "online": self._say_online(),
            "guard": self._until_second(),
        }
        try:
            await self._until_ended(roles)
        except SchedulerRunning:
            await self._hand_over(store, publisher)
            raise

    async def _until_second(self) -> None:
        raise running(await self._place.leave)

    async def _hand_over(self, store: Store, publisher: Publisher) -> None:
        """The other scheduler gets what we took in meanwhile."""
        sender = Sender(
            self._transport, self._topics, f"routeq-handover-{self._status.instance}",
            clock=self._clock,
        )  # fmt: skip
        sender.link.start()
        try:
            async with asyncio.timeout(_HAND_OVER_WITHIN):
                await sender.link.ready()
                staying = await Handover(store, sender).run(publisher.unsure)
            if staying:
                log.error(
                    "%d jobs of chains and batches stay in db=%s: %s",
                    staying, self._options.db, _START_ALONE,
                )  # fmt: skip
        except (TimeoutError, RouteqError) as error:
            log.error("rows stay in db=%s: %s: %s", self._options.db, _START_ALONE, error)
        finally:
            await sender.link.close()

    async def _until_ended(self, roles: dict[str, Coroutine[None, None, None]]) -> None:
        """Run the roles; one that raises ends the scheduler: it restarts with all of its rows."""
        tasks = {asyncio.create_task(role, name=name) for name, role in roles.items()}
        try:
            pending: set[asyncio.Future[None]] = {self._ended, *tasks}
            while True:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if self._ended in done:
                    return
        finally:
            for task in (*tasks, *self._requests):
                task.cancel()
            await asyncio.gather(*tasks, *self._requests, return_exceptions=True)
            await self._leave()

    async def _leave(self) -> None:
        link = self._context.link
        if link.connection is not None:
            stopped = replace(self._status, state="stopped", at=self._clock.now())
            with contextlib.suppress(ConnectionLost):  # then the Last Will speaks for us
                await link.connection.publish(self._topics.scheduler, encode(stopped), retain=True)
        await link.close()

    # -- the connection ------------------------------------------------------------------------

    def _make_link(self) -> Link:
        will = replace(self._status, state="lost")
        return Link(
            self._transport,
            ConnectOptions(
                SCHEDULER_CLIENT_ID,
                persistent=True,
                session_expiry=_NEVER,
                keep_alive=_KEEP_ALIVE,
                will=Will(self._topics.scheduler, encode(will)),
            ),
            self._deliver,
            set_up=self._set_up,
            gate=self._place.check,
            max_wait=1.0,
        )

    async def _set_up(self, connection: Connection) -> None:
        self._place.connected()
        _topics, surroundings = self._topics, self._context.surroundings
        # The members stay: a broker that lost its memory has forgotten their statuses; those that
        # are gone for good fall silent.
        for member in self._context.fleet.members.values():
            member.heard_at = self._clock.monotonic()
        await connection.subscribe(*self._context.fleet.filters())
        await surroundings.look(connection)
        await connection.subscribe(*self._inputs(surroundings))
        await self._triggers.listen(connection)
        self._control.announce(connection)
        self._publish_status(connection)

    def _inputs(self, surroundings: Surroundings) -> list[str]:
        topics = self._topics
        inputs = [
            topics.schedule,
            topics.failed,
            topics.done,
            topics.result,
            topics.back,
            topics.store("+"),
            topics.rpc("+"),
            topics.all_orders,
        ]
        return inputs if surroundings.shares_queue else [*inputs, topics.all_intake]

    async def _make_session(self) -> None:
        """Subscribe before there is a Last Will: its word is that a session collects for us.

        A scheduler that died between its first CONNECT and SUBSCRIBE would say so falsely,
        and a producer whose broker does not tell 0x10 would believe it.
        """
        surroundings = Surroundings(self._topics, SCHEDULER_CLIENT_ID)

        async def set_up(connection: Connection) -> None:
            if not connection.session_present:
                await surroundings.look(connection)
                await connection.subscribe(*self._inputs(surroundings))

        def fold(connection: Connection, message: Message) -> None:
            surroundings.fold(message)  # not acknowledged: it comes again when there is a store

        options = ConnectOptions(SCHEDULER_CLIENT_ID, persistent=True, session_expiry=_NEVER)
        link = Link(self._transport, options, fold, set_up=set_up, max_wait=1.0)
        link.start()
        try:
            await link.ready()
        finally:
            await link.close()

    def _publish_status(self, connection: Connection) -> None:
        online = replace(self._status, at=self._clock.now())
        connection.publish(self._topics.scheduler, encode(online), retain=True)

    async def _say_online(self) -> None:
        """After each connect, ask who holds what."""
        while True:
            connection = await self._context.link.ready()
            self._context.reply_late(connection)
            if not (self.online.is_set() or self._context.surroundings.shares_queue):
                self._expect_workers()
            await self._ask(self._census.ask)
            self._context.fleet_changed.fire()
            self._context.parked.fire()
            if self.online.is_set():
                self._reaper.reconnected()
            else:
                self.online.set()
                log.info("scheduler instance=%s online", self._status.instance)
            await self._keep_asking(connection)

    def _expect_workers(self) -> None:
        """Those that the broker has forgotten come back by themselves; then all are asked."""
        self._census.expect_workers(PATIENCE)

        def ask_all() -> None:
            self._census_due = True
            self._fleet_moved.fire()

        asyncio.get_running_loop().call_later(PATIENCE, ask_all)

    async def _keep_asking(self, connection: Connection) -> None:
        """Sessions that do not answer once more; all of them where we may have sent to nobody."""
        while not connection.lost.done():
            moved = asyncio.ensure_future(self._fleet_moved.wait(_ASK_AGAIN))
            either: set[asyncio.Future[Any]] = {connection.lost, moved}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not moved.done():
                moved.cancel()
            elif not self._census_due:
                await self._ask(self._census.ask_again)
            else:
                await asyncio.sleep(_GATHER)
                self._census_due = False
                await self._ask(self._census.ask)

    async def _ask(self, ask: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await ask()
            except StoreUnavailable as error:
                log.error("cannot ask who holds what: error=%s", error)
                await asyncio.sleep(_STORE_AGAIN)

    # -- messages ------------------------------------------------------------------------------

    def _deliver(self, connection: Connection, message: Message) -> None:
        topics, context = self._topics, self._context
        if message.topic == topics.scheduler:
            self._look_at_other(connection, message)
        if context.surroundings.fold(message):
            connection.acknowledge(message)
        elif context.topics.worker_of(message.topic) is not None:
            connection.acknowledge(message)
            self._fold_worker(connection, message)
        elif message.topic.startswith(topics.rpc("")) and message.topic != topics.rpc("census"):
            connection.acknowledge(message)
            self._answer(message)
        elif self._control.fold(message) or message.topic.startswith(
            (topics.probe(""), topics.session(""))
        ):
            connection.acknowledge(message)
        else:
            self._intake.add(connection, message)

    def _fold_worker(self, connection: Connection, message: Message) -> None:
        context, fleet = self._context, self._context.fleet
        worker = str(context.topics.worker_of(message.topic))
        before = fleet.standing(worker)
        fleet.fold(message.topic, message.payload, now=self._clock.monotonic())
        if message.topic.startswith(context.topics.worker("")):
            member = fleet.members.get(worker)
            self._devices.heard(None if member is None else member.status)
            if context.link.connection is not connection:
                self._reaper.spare(worker)  # said before we were here
            context.fleet_changed.fire()
            context.parked.fire()
        else:
            self._balancer.heard(worker)
        if fleet.standing(worker) != before:
            # Rows may have gone out to a group that was empty. Who is told of it with reason 0x10
            # has parked them again; on other brokers only a census finds them.
            around = context.surroundings
            self._census_due |= not (around.truthful or around.shares_queue)
            self._fleet_moved.fire()

    def _answer(self, message: Message) -> None:
        answering = self._registrar.answer(message, self._intake.behind())
        task = asyncio.create_task(answering, name=message.topic)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    def _look_at_other(self, connection: Connection, message: Message) -> None:
        """The Last Will of another instance must not be the last word: we are here."""
        if message.dup:
            return  # what a predecessor that was killed had not acknowledged: it does not run
        other = decode(SchedulerStatus, message.payload) if message.payload else None
        gone = other is not None and other.state != "online" and not message.retain
        if gone and other is not None and other.instance != self._status.instance:
            self._publish_status(connection)
