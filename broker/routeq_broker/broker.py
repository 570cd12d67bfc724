"""The broker: listens, and says of itself what it is."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from routeq_broker.clients import Clients
from routeq_broker.connection import Connection
from routeq_broker.doorkeeper import Doorkeeper
from routeq_broker.errors import AddressInUse, BrokerError
from routeq_broker.handler import Handler
from routeq_broker.journal import NoJournal, SqliteJournal
from routeq_broker.policy import PlainPolicy
from routeq_broker.router import Router

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from routeq_broker.policy import RedeliveryPolicy

log = logging.getLogger(__name__)

VERSION = "0.1.0"
_SAY_EVERY = 0.2
LARGEST_PACKET = 16 << 20


class Broker:
    """An MQTT 3.1.1 broker.

    Args:
        bind: address and port; port 0: a free one. Default: loopback.
        db: SQLite file; None: everything is in memory only.
        policy: knows the payloads; default: none does.
        grace: seconds for which what a lost client held stays reserved for it; default 1.
        restart_grace: the same after a restart of the broker; default 5.
        window: queue messages that a session may hold that said nothing else; default 20.
        largest: bytes that a packet may have; default 16 MiB.
        queue_prefix: of the topics that are queues.
        status_topic: retained: what this broker is; below it ``/queues``: what waits, and
            ``/window``: where a session says how many queue messages it has room for.
        doorkeeper: who may come in, and what each may do; default: everybody, everything.
        tls: encrypts all connections; default: none is encrypted.
    """

    def __init__(
        self,
        bind: str = "127.0.0.1:1883",
        *,
        db: str | Path | None = None,
        policy: RedeliveryPolicy | None = None,
        grace: float = 1.0,
        restart_grace: float = 5.0,
        window: int = 20,
        largest: int = LARGEST_PACKET,
        queue_prefix: str = "$queue/",
        status_topic: str = "routeq/broker",
        doorkeeper: Doorkeeper | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port = _address(bind)
        self._db = Path(db) if db is not None else None
        self._policy = policy or PlainPolicy()
        self._grace = grace
        self._restart_grace = restart_grace
        self._window = window
        self._largest = largest
        self._prefix = queue_prefix
        self._status_topic = status_topic
        self._doorkeeper = doorkeeper or Doorkeeper()
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._journal: SqliteJournal | None = None
        self._handler: Handler | None = None
        self._router: Router | None = None
        self._clients: Clients | None = None
        self._saying: asyncio.TimerHandle | None = None
        self._said = b""

    @property
    def port(self) -> int:
        """The port that it listens on."""
        if self._server is None:
            return self._port
        return int(self._server.sockets[0].getsockname()[1])

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
            AddressInUse: the address cannot be listened on.
            StoreBroken: the database cannot be used.
        """
        loaded = None
        if self._db is not None:
            self._journal, loaded = await SqliteJournal.open(self._db)
        journal = self._journal or NoJournal()
        self._router = Router(
            journal, self._policy, queue_prefix=self._prefix, changed=self._changed
        )
        self._clients = Clients(
            self._router,
            journal,
            self._policy,
            grace=self._grace,
            window=self._window,
            rights=self._doorkeeper.rights,
        )
        if loaded is not None:
            self._clients.load(loaded, grace=self._restart_grace)
        handler = self._handler = Handler(
            self._clients,
            self._router,
            window_topic=f"{self._status_topic}/window",
            back_topic=f"{self._status_topic}/back",
            doorkeeper=self._doorkeeper,
        )
        status = {"shares_queue": True, "version": VERSION, "persistent": self._db is not None}
        self._say(self._status_topic, json.dumps(status).encode())
        self._say_sizes()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(handler, largest=self._largest),
                self._host,
                self._port,
                ssl=self._tls,
            )
        except OSError as error:
            await self.stop()
            raise AddressInUse(f"cannot listen on {self._host}:{self._port}: {error}") from None
        self._warn()

    def _warn(self) -> None:
        if self._doorkeeper.anonymous and not _is_loopback(self._host):
            log.warning(
                "everybody who reaches %s may read and write: name users (--users), or "
                "listen on 127.0.0.1",
                self._host,
            )

    async def stop(self) -> None:
        """Close every connection, without Last Wills, and commit."""
        if self._saying is not None:
            self._saying.cancel()
        if self._server is not None:
            self._server.close()
        if self._handler is not None:
            for connection in list(self._handler.connections):
                connection.will = None
                if connection.session is not None:
                    connection.session.connection = None  # its messages stay reserved for it
                connection.close()
        if self._clients is not None:
            for session in self._clients.sessions.values():
                session.stop_reserving()
        if self._server is not None:
            await self._server.wait_closed()
        if self._journal is not None:
            await self._journal.close()

    # -- what it says of itself ----------------------------------------------------------------

    def _changed(self) -> None:
        if self._saying is None:
            loop = asyncio.get_running_loop()
            self._saying = loop.call_later(_SAY_EVERY, self._say_sizes)

    def _say_sizes(self) -> None:
        self._saying = None
        if self._router is None:
            return
        sizes = json.dumps(self._router.queues.sizes()).encode()
        if sizes != self._said:
            self._said = sizes
            self._say(f"{self._status_topic}/queues", sizes)

    def _say(self, topic: str, payload: bytes) -> None:
        if self._router is not None:
            self._router.publish(topic, payload, qos=1, retain=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(bind: str) -> tuple[str, int]:
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise BrokerError(f"bind={bind!r} is no address; write it as 127.0.0.1:1883")
    return host.strip("[]") or "127.0.0.1", int(port)
