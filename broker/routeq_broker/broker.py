"""The broker: its parts, put together, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from routeq_broker.access.doorkeeper import Doorkeeper
from routeq_broker.access.logins import Logins
from routeq_broker.access.rates import ConnectRates
from routeq_broker.clients.clients import Clients
from routeq_broker.clients.handler import Handler
from routeq_broker.clients.login import Login
from routeq_broker.clients.publishing import Publishing
from routeq_broker.clock import Clock
from routeq_broker.counters import Counters
from routeq_broker.network.connection import Connection
from routeq_broker.network.files import connections_possible
from routeq_broker.network.listeners import Address, Listeners, Origins
from routeq_broker.options import Limits
from routeq_broker.policy import CarefulPolicy, PlainPolicy
from routeq_broker.protocol import reasons
from routeq_broker.reports import Reports
from routeq_broker.routing.context import Context
from routeq_broker.routing.namespaces import Namespaces
from routeq_broker.routing.router import Router
from routeq_broker.storage.journal import NoJournal, SqliteJournal
from routeq_broker.storage.loaded import entries_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from types import TracebackType

    from routeq_broker.access.acl import Acl
    from routeq_broker.access.users import Users
    from routeq_broker.policy import RedeliveryPolicy
    from routeq_broker.storage.database import Rows

log = logging.getLogger(__name__)

_EXPIRE_EVERY = 30.0
_CLOSE_WITHIN = 2.0


class Broker:
    """An MQTT broker: 3.1.1 and 5.

    Args:
        bind: address and port, or several of them; port 0: a free one. Also
            ``mqtts://0.0.0.0:8883``, ``ws://127.0.0.1:9001`` and ``unix:/run/routeq.sock``.
            Default: loopback.
        ws_bind: addresses of websocket listeners; default: none.
        ws_origins: web pages that may connect there, see `Origins`.
        db: SQLite file; None: everything is in memory only.
        policy: knows the payloads; default: none does.
        grace: seconds for which what a lost client held stays reserved for it; default 1.
        restart_grace: the same after a restart of the broker; default 5.
        window: queue messages that a session may hold that said nothing else; default 20.
        limits: of clients, sessions, messages and packets.
        queue_prefix: of the topics that are queues.
        status_topic: retained: what this broker is; below it ``/queues``: what waits, ``/window``:
            where a session says how many queue messages it has room for, and ``/back``: where it
            gives some back, and ``/census``: where somebody asks what the queues have.
        guaranteed: filters of topics, beside the queues, on which no QoS 1 message is acknowledged
            that no subscriber could take.
        namespaces: first levels below which all these topics mean the same once more, for a bus
            of its own; the policy is asked without them.
        sys_interval: publish ``$SYS/broker/…`` every this many seconds; 0: never; default 10.
        doorkeeper: who may come in, and what each may do; default: everybody, everything.
        tls: for the listeners that are encrypted; default: none is.
        clock: for expiry.
    """

    def __init__(
        self,
        bind: str | Sequence[str] = "127.0.0.1:1883",
        *,
        ws_bind: Sequence[str] = (),
        ws_origins: Sequence[str] = (),
        db: str | Path | None = None,
        policy: RedeliveryPolicy | None = None,
        grace: float = 1.0,
        restart_grace: float = 5.0,
        window: int = 20,
        limits: Limits | None = None,
        queue_prefix: str = "$queue/",
        status_topic: str = "routeq/broker",
        guaranteed: Sequence[str] = (),
        namespaces: Sequence[str] = (),
        sys_interval: float = 10.0,
        doorkeeper: Doorkeeper | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        binds = [bind] if isinstance(bind, str) else list(bind)
        self._addresses = [Address.parse(one) for one in binds]
        self._addresses += [Address.parse(one, websocket=True) for one in ws_bind]
        self._db = Path(db) if db is not None else None
        self._policy = CarefulPolicy(policy or PlainPolicy())
        self._grace = grace
        self._restart_grace = restart_grace
        self._window = window
        self._limits = limits or Limits()
        self._namespaces = Namespaces(namespaces, queue_prefix)
        self._status_topic = status_topic
        self._guaranteed = tuple(guaranteed)
        self._doorkeeper = doorkeeper or Doorkeeper()
        self._origins = Origins(ws_origins, lambda: not self._doorkeeper.anonymous)
        self._tls = tls
        self._clock = clock or Clock()
        self._reports = Reports(status_topic, every=sys_interval, persistent=db is not None)
        self._journal: SqliteJournal | None = None
        self._listeners: Listeners | None = None
        self._handler: Handler | None = None
        self._clients: Clients | None = None
        self._login: Login | None = None
        self._expiring: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port that it listens on; of several addresses the first one's."""
        return self.ports[0]

    @property
    def ports(self) -> list[int]:
        """Of each address its port, those of `ws_bind` last; 0 for a unix socket."""
        ports = self._listeners.ports if self._listeners is not None else []
        return ports or [address.port for address in self._addresses]

    async def __aenter__(self) -> Broker:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Read the database, and listen.

        Raises:
            AddressInUse: an address cannot be listened on.
            StoreBroken: the database cannot be used.
        """
        rows = None
        if self._db is not None:
            self._journal = SqliteJournal(self._db, self._clock)
            try:
                rows = await self._journal.open()
            except BaseException:
                self._journal = None
                raise
        handler, context = self._build(rows)

        def connection() -> Connection:
            return Connection(
                handler,
                largest=self._limits.packet_size,
                counters=context.counters,
                clock=self._clock,
            )

        self._listeners = Listeners(
            self._addresses, connection, tls=self._tls, allows=self._origins
        )
        try:
            await self._listeners.open()
        except BaseException:
            await self.stop()
            raise
        self._warn()

    def _build(self, rows: Rows | None) -> tuple[Handler, Context]:
        limits = self._limits
        possible = min(limits.connections, connections_possible())
        limits = self._limits = replace(limits, connections=possible)
        context = Context(
            self._journal or NoJournal(), self._policy, limits, self._clock, Counters()
        )
        router = Router(context, self._namespaces, changed=self._reports.changed)
        clients = self._clients = Clients(
            router, grace=self._grace, window=self._window, rights=self._doorkeeper.rights
        )
        if rows is not None:
            clients.load(rows, entries_of(rows, self._clock), grace=self._restart_grace)
        self._login = Login(clients, context, self._doorkeeper, Logins())
        publishing = Publishing(
            clients,
            router,
            status_topic=self._status_topic,
            guaranteed=self._guaranteed,
        )
        self._handler = Handler(
            clients,
            router,
            login=self._login,
            publishing=publishing,
            rates=ConnectRates(limits.connect_rate, self._clock),
        )
        self._reports.start(router, clients, self._handler)
        self._expire(router)
        return self._handler, context

    def _expire(self, router: Router) -> None:
        router.expire()
        loop = asyncio.get_running_loop()
        self._expiring = loop.call_later(_EXPIRE_EVERY, self._expire, router)

    def _warn(self) -> None:
        public = [str(address) for address in self._addresses if not address.is_local]
        if self._doorkeeper.anonymous and public:
            log.warning(
                "everybody who reaches %s may read and write: name users (--users), or "
                "listen on 127.0.0.1",
                ", ".join(public),
            )

    def reload(
        self, users: Users | None, acl: Acl | None, *, anonymous: bool | None = None
    ) -> None:
        """Decide by these users and rules from now on; no connection ends.

        What a client may not read any more it no longer gets.
        """
        self._doorkeeper.replace(users, acl, anonymous=anonymous)
        if self._clients is not None:
            self._clients.reload_rights()

    async def stop(self) -> None:
        """Close every connection, without Last Wills, and commit."""
        self._reports.stop()
        if self._expiring is not None:
            self._expiring.cancel()
        if self._listeners is not None:
            self._listeners.close()
        if self._login is not None:
            self._login.close()
        if self._clients is not None:
            for session in self._clients.sessions.values():
                session.stop_timers()
                session.will = None
        if self._handler is not None:
            await self._close_connections(self._handler)
        if self._listeners is not None:
            await self._listeners.closed()
        if self._journal is not None:
            await self._journal.close()

    async def _close_connections(self, handler: Handler) -> None:
        for connection in list(handler.connections):
            if connection.session is not None:
                connection.session.detach()  # its messages stay reserved for it
            connection.close(reasons.SERVER_SHUTTING_DOWN)
        loop = asyncio.get_running_loop()
        end = loop.time() + _CLOSE_WITHIN
        while handler.connections and loop.time() < end:
            await asyncio.sleep(0.01)
        for connection in list(handler.connections):
            connection.abort()
