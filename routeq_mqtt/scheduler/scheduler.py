"""The scheduler: one connection, one store, and a small role for each thing that it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.sender import Sender
from routeq_mqtt.bus.surroundings import Surroundings
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import SchedulerRunning
from routeq_mqtt.presence.fleet import Fleet
from routeq_mqtt.scheduler.calendar import SteadyClock
from routeq_mqtt.scheduler.context import Context, Hook, no_hook
from routeq_mqtt.scheduler.guard import Place, refuse_second, running
from routeq_mqtt.scheduler.handover import hand_over
from routeq_mqtt.scheduler.inbox import Inbox
from routeq_mqtt.scheduler.orders import OrderBook
from routeq_mqtt.scheduler.presence import Presence
from routeq_mqtt.scheduler.results import Results
from routeq_mqtt.scheduler.roles import Roles
from routeq_mqtt.scheduler.session import MAX_WAIT, inputs, make_session, session_options
from routeq_mqtt.scheduler.store import Store
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID, Topics
from routeq_mqtt.transport.link import Link

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine
    from pathlib import Path

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.scheduler.options import SchedulerOptions
    from routeq_mqtt.transport.seam import Connection, Transport

OpenStore = Callable[["Path"], Awaitable[Store]]


class Scheduler:
    """Keeps delayed jobs, retries, parked jobs and failed records, and recovers from deaths.

    Args:
        transport: how to reach the broker.
        options: see there.
        topics: the topics of the bus.
        clock: where time comes from.
        hook: called at each step that a fault test may want to die at.
        open_store: opens the database.

    Attributes:
        online: set once every worker session has been asked what it holds.
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
        self._presence = Presence(self._topics, self._clock, options.db)
        self.online = self._presence.online
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

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
            # The database is ours: so is the session.
            await make_session(self._transport, self._topics)
        except BaseException:
            await store.close()
            raise
        return store

    async def _work(self, store: Store) -> None:
        context = await self._make_context(store)
        roles = Roles(context, self._transport, self._options, self._presence)
        await roles.load()
        inbox = Inbox(context, self._presence, roles)
        place = Place(self._transport, self._topics, self._clock, self._presence.status)
        context.link = self._make_link(context, roles, inbox, place)
        context.link.start()
        loops = roles.running() | {"guard": _until_second(place)}
        try:
            await self._until_ended(loops, inbox, context.link)
        except SchedulerRunning:
            await self._hand_over(store, roles.publisher.unsure)
            raise

    async def _make_context(self, store: Store) -> Context:
        orders = OrderBook(store.database)
        await orders.load()
        fleet = Fleet(self._topics)
        clock = SteadyClock(self._clock)
        return Context(
            store=store,
            orders=orders,
            results=Results(store.database, fleet, clock),
            topics=self._topics,
            clock=clock,
            fleet=fleet,
            surroundings=Surroundings(self._topics, SCHEDULER_CLIENT_ID),
            hook=self._hook,
            guard=self._options.guard,
            bridged=self._options.bridged,
        )

    async def _until_ended(
        self, loops: dict[str, Coroutine[None, None, None]], inbox: Inbox, link: Link
    ) -> None:
        """Run the roles; one that raises ends the scheduler: it restarts with all of its rows."""
        tasks = {asyncio.create_task(role, name=name) for name, role in loops.items()}
        try:
            pending: set[asyncio.Future[None]] = {self._ended, *tasks}
            while True:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if self._ended in done:
                    return
        finally:
            for task in (*tasks, *inbox.answering):
                task.cancel()
            await asyncio.gather(*tasks, *inbox.answering, return_exceptions=True)
            await self._leave(link)

    async def _leave(self, link: Link) -> None:
        if link.connection is not None:
            await self._presence.say_stopped(link.connection)
        await link.close()

    async def _hand_over(self, store: Store, unsure: Collection[str]) -> None:
        """The other scheduler gets what we took in meanwhile."""
        name = f"routeq-handover-{self._presence.status.instance}"
        sender = Sender(self._transport, self._topics, name, clock=self._clock)
        await hand_over(store, sender, unsure, self._options.db)

    def _make_link(self, context: Context, roles: Roles, inbox: Inbox, place: Place) -> Link:
        async def set_up(connection: Connection) -> None:
            place.connected()
            # The members stay: a broker that lost its memory has forgotten their statuses; those
            # that are gone for good fall silent.
            for member in context.fleet.members.values():
                member.heard_at = context.clock.monotonic()
            await connection.subscribe(*context.fleet.filters())
            await context.surroundings.look(connection)
            await connection.subscribe(*inputs(context.topics, context.surroundings))
            await roles.triggers.listen(connection)
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


async def _until_second(place: Place) -> None:
    raise running(await place.leave)
