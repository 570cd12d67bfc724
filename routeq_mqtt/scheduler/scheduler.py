"""The scheduler: one connection, one store, and a small role for each thing that it does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.send.broker_info import BrokerInfo
from routeq_mqtt.bus.send.sender import Sender
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import RouteqError, SchedulerRunning, StaleDatabase, TaskEnded
from routeq_mqtt.presence.fleet import Fleet
from routeq_mqtt.scheduler.clock import StableClock
from routeq_mqtt.scheduler.context import Context, Hook, no_hook
from routeq_mqtt.scheduler.inbox import Inbox
from routeq_mqtt.scheduler.lifecycle.epoch import Epoch, advance_often
from routeq_mqtt.scheduler.lifecycle.handover import hand_over
from routeq_mqtt.scheduler.lifecycle.presence import Presence
from routeq_mqtt.scheduler.lifecycle.session import MAX_WAIT, inputs, make_session, session_options
from routeq_mqtt.scheduler.lifecycle.sharing import decide_sharing
from routeq_mqtt.scheduler.lifecycle.single_instance import InstanceLock, refuse_second
from routeq_mqtt.scheduler.lifecycle.standby import Standby
from routeq_mqtt.scheduler.services import Services
from routeq_mqtt.scheduler.store.engines.postgres.url import PostgresUrl
from routeq_mqtt.scheduler.store.orders import OrderBook
from routeq_mqtt.scheduler.store.results import Results
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.sessions import Sessions
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.tasks import Scope
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID, Topics
from routeq_mqtt.transport.reconnecting import Link

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.scheduler.options import SchedulerOptions
    from routeq_mqtt.scheduler.store.engines.engine import Held
    from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
    from routeq_mqtt.transport.base import Connection, Transport

log: logging.Logger = logging.getLogger(__name__)

OpenStore = Callable[["DatabasePlace", "Held | None"], Awaitable[Store]]


class Scheduler:
    """Keeps delayed jobs, retries, parked jobs and failed records, and recovers from deaths.

    Args:
        transport: how to reach the broker.
        options: see there.
        topics: the topics of the bus.
        clock: where time comes from.
        hook: called at each step that a fault test may want to die at.
        open_store: opens the database, whose lock we may have already.

    Attributes:
        online: set once every worker session has been asked what it holds.
        ready: set once it is online, or waits as a standby.
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
        self._transport = transport
        self._options = options
        self._topics = topics or Topics()
        self._clock = clock or SystemClock()
        self._hook = hook
        self._open_store = open_store
        self._roles: Services | None = None
        self._deals = False
        self._presence = Presence(self._topics, self._clock, options.db)
        self.online: asyncio.Event = self._presence.online
        self.ready: asyncio.Event = self._presence.ready
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """Commit what has arrived and leave; `run` returns after that."""
        if not self._ended.done():
            self._ended.set_result(None)

    async def run(self) -> None:
        """Work until stopped.

        Raises:
            SchedulerRunning: another scheduler works on this bus.
            StaleDatabase: the bus has seen a newer copy of the database.
            ConfigurationError: the database is of a later version, or another process holds it.
            TaskEnded: one of its roles ended by itself.
        """
        async with Scope() as scope:
            begun = scope.start(self._begin(), "begin")  # may wait for broker or disk for ever
            either: set[asyncio.Future[Any]] = {begun, self._ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if begun.cancelled():
            return
        store = begun.result()
        try:
            await self._work(store)
        finally:
            await store.close()

    async def _begin(self) -> Store:
        # A lease runs out while its owner is frozen; the lock of a file does not.
        leased = isinstance(self._options.db, PostgresUrl)
        held = await self._stand_by() if leased or self._options.standby else None
        try:
            ours = self._presence.status.db if leased else None
            seen = await refuse_second(self._transport, self._topics, self._clock, ours=ours)
            self._deals = await decide_sharing(self._transport, self._topics, self._clock)
            self._presence.deal(deals=self._deals)
        except BaseException:
            if held is not None:
                held.release()
            raise
        store = await self._open_store(self._options.db, held)
        try:
            epoch = self._epoch_of(store)
            await epoch.claim(seen, self._options.db, force=self._options.force)
            await epoch.announce(self._transport)
            # The database is ours: so is the session.
            await make_session(self._transport, self._topics, store, deals=self._deals)
        except BaseException:
            await store.close()
            raise
        return store

    async def _stand_by(self) -> Held:
        standby = Standby(self._transport, self._topics, self._clock, self._presence)
        held = await standby.wait(self._options.db)
        self._presence.take_over()
        return held

    async def _work(self, store: Store) -> None:
        context = await self._make_context(store)
        roles = self._roles = Services(context, self._transport, self._options, self._presence)
        await roles.load()
        epoch = self._epoch_of(store)
        await epoch.load()

        def taken(trouble: str) -> None:
            self._presence.say_trouble(context.link.connection, trouble, about="place")
            # The broker publishes the Last Will whenever the other client comes: it says so, too.
            context.link.options = session_options(self._presence.will())

        async def subscribe() -> None:
            await make_session(self._transport, self._topics, store, deals=self._deals)

        place = InstanceLock(
            self._transport,
            self._topics,
            self._clock,
            self._presence.status,
            epoch,
            taken,
            subscribe,
        )
        inbox = Inbox(context, self._presence, roles, place)
        context.link = self._make_link(context, roles, inbox, place, epoch)
        context.link.start()
        loops = roles.running() | {
            "guard": place.run(),
            "epoch": advance_often(epoch, lambda: context.link.connection),
        }
        try:
            await self._until_ended(loops, inbox, context.link, epoch)
        except SchedulerRunning:
            await self._hand_over(store, roles.publisher.unconfirmed)
            raise

    def _epoch_of(self, store: Store) -> Epoch:
        return Epoch(store.database, self._topics, self._clock, self._presence.status)

    async def _make_context(self, store: Store) -> Context:
        orders = OrderBook(store.database)
        await orders.load()
        fleet = Fleet(self._topics)
        clock = StableClock(self._clock)
        return Context(
            store=store,
            orders=orders,
            results=Results(store.database, fleet, clock),
            sessions=Sessions(store.database, fleet),
            topics=self._topics,
            clock=clock,
            fleet=fleet,
            surroundings=BrokerInfo(self._topics, SCHEDULER_CLIENT_ID, deals=self._deals),
            hook=self._hook,
            guard=self._options.guard,
            bridged=self._options.bridged,
        )

    async def _until_ended(
        self,
        loops: dict[str, Coroutine[None, None, None]],
        inbox: Inbox,
        link: Link,
        epoch: Epoch,
    ) -> None:
        """Run the roles; one that raises ends the scheduler: it restarts with all of its rows."""
        try:
            async with Scope() as scope:
                tasks = {scope.start(role, name) for name, role in loops.items()}
                either: set[asyncio.Future[None]] = {self._ended, *tasks}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    _raise_for(task)
        except StaleDatabase:
            await link.close()  # without a word: the topics are another scheduler's now
            raise
        finally:
            await inbox.answering.close()
            await self._leave(link, epoch)

    async def _leave(self, link: Link, epoch: Epoch) -> None:
        if link.connection is not None:
            with contextlib.suppress(StoreUnavailable):
                await epoch.advance(link.connection)
            await self._presence.say_stopped(link.connection)
        await link.close()

    async def _hand_over(self, store: Store, unconfirmed: Collection[str]) -> None:
        """The other scheduler gets what we took in meanwhile."""
        name = f"routeq-handover-{self._presence.status.instance}"
        sender = Sender(self._transport, self._topics, name, clock=self._clock)
        await hand_over(store, sender, unconfirmed, self._options.db)

    def _make_link(
        self, context: Context, roles: Services, inbox: Inbox, place: InstanceLock, epoch: Epoch
    ) -> Link:
        async def set_up(connection: Connection) -> None:
            place.connected(connection)
            await epoch.look(connection)
            await roles.intake.begin(connection)
            roles.reaper.announce(connection)
            # The members stay: a broker that lost its memory has forgotten their statuses; those
            # that are gone for good fall silent.
            for member in context.fleet.members.values():
                member.heard_at = context.clock.monotonic()
            await connection.subscribe(*context.fleet.filters(), *roles.observers.filters())
            roles.retained.ask_session(connection)
            await context.surroundings.look(connection)
            roles.intake.all_again(connection)
            await connection.subscribe(context.topics.all_orders)
            await roles.retained.subscribe(connection, inputs(context.topics, context.surroundings))
            await roles.triggers.listen(connection)
            await roles.observers.broker.subscribe(connection)
            roles.control.announce(connection)
            self._presence.say_online(connection)

        return Link(
            self._transport,
            session_options(self._presence.will()),
            inbox.deliver,
            set_up=set_up,
            gate=place.check,
            max_wait=MAX_WAIT,
        )


def _raise_for(role: asyncio.Task[None]) -> None:
    if not role.done():
        return
    error = None if role.cancelled() else role.exception()
    if error is None or not isinstance(error, RouteqError):
        log.error("role=%s of the scheduler ended: %r", role.get_name(), error, exc_info=error)
        raise TaskEnded(f"the scheduler's {role.get_name()} ended: {error!r}") from error
    raise error
