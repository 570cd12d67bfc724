"""A bus in a namespace, beside another one on the same real broker; services without processes."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from routeq_broker import Broker
from routeq_mqtt import Bus
from routeq_mqtt.embedded import make_broker
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import Connection, ConnectOptions, Message, Transport
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker
from tests.cluster.cluster import Cluster, Kind
from tests.cluster.memory import MemoryCluster
from tests.cluster.recorder import Recorder

OWN, OTHER = "staging", "prod"
_PUBLISHED = re.compile(r"Received PUBLISH from .*?, '(.*?)', \.\.\.")
_CONNECTED = re.compile(r"New client connected from \S+ as (\S+) ")


class Spy:
    """Reads every topic that anybody publishes to."""

    name = "spy"

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self._connection: Connection | None = None

    async def start(self, url: str) -> None:
        """Begin; what is retained counts, too."""
        transport = AioTransport(Settings(url=url).address())
        self._connection = await transport.connect(ConnectOptions(self.name), self._take)
        intakes = [Topics().within(one).all_intake for one in (OWN, OTHER)]
        await self._connection.subscribe("#", Topics().all_intake, *intakes)

    def _take(self, message: Message) -> None:
        self.topics.add(message.topic)
        if self._connection is not None:
            self._connection.acknowledge(message)

    async def stop(self) -> None:
        if self._connection is not None:
            await self._connection.subscribe("nothing")  # a round trip, behind what came
            await self._connection.close()


class Beside(MemoryCluster):
    """The bus of a namespace; a second one's scheduler and worker are up while it is used.

    What both have published, and as whom they connected, is checked at the end.
    """

    def __init__(self, kind: Kind, folder: Path, recorder: Recorder) -> None:
        super().__init__(folder, recorder)
        self.kind = kind
        self.spy = Spy()
        self.client_ids: set[str] = set()
        self._embedded: Broker | None = None

    def settings_of(self, namespace: str, **more: Any) -> Settings:
        return Settings(url=self.url, namespace=namespace, **more)

    @property
    def topics(self) -> Topics:
        return self.settings_of(OWN).topics()

    def _transport(self) -> Transport:
        return AioTransport(self.settings_of(OWN).address())

    async def start_broker(self) -> None:
        if self.kind == "embedded":
            bind = f"127.0.0.1:{self.port}"
            self._embedded = make_broker(bind, None, namespaces=[OWN, OTHER])
            await self._embedded.start()
            await self.spy.start(self.url)
        else:
            self.extra_conf = ["log_type all"]
            await Cluster.start_broker(self)
        await self.serve(OTHER)

    async def serve(self, namespace: str) -> None:
        """A scheduler and a worker, which is the device `pump`."""
        settings = self.settings_of(namespace)
        transport, topics = AioTransport(settings.address()), settings.topics()
        rows = SchedulerOptions(db=self.folder / f"{namespace}.db")
        await self._start(Scheduler(transport, rows, topics=topics))
        options = WorkerOptions(queues=("default", "slow"), name="pump", shutdown_timeout=0.0)
        await self._start(Worker(transport, options, topics=topics, in_thread=False))

    async def stop_broker(self, number: signal.Signals = signal.SIGTERM) -> None:
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def bus(self, **settings: Any) -> AsyncIterator[Bus]:
        async with self.bus_of(OWN, **settings) as bus:
            yield bus

    @contextlib.asynccontextmanager
    async def bus_of(self, namespace: str, **settings: Any) -> AsyncIterator[Bus]:
        async with Bus(settings=self.settings_of(namespace, **settings)) as bus:
            yield bus

    async def close(self) -> None:
        if self._embedded is not None and self._embedded._clients is not None:
            self.client_ids |= set(self._embedded._clients.sessions)
        await super().close()
        await self.spy.stop()
        if self._embedded is not None:
            await self._embedded.stop()
        elif self.broker is not None:
            await self.broker.kill()
            # Its log, since a reader of everything would close the express lane.
            self.client_ids |= set(_CONNECTED.findall(self.broker.output))
            self.spy.topics |= set(_PUBLISHED.findall(self.broker.output))
        self._check()

    def _check(self) -> None:
        prefixes = (f"{OWN}/", f"{OTHER}/")
        # The embedded broker itself serves the bus without a namespace, too.
        brokers = {Topics().broker, Topics().broker_queues} if self._embedded else set()
        levels = {one.removeprefix("$") for one in self.spy.topics - brokers}
        assert {one for one in levels if not one.startswith(prefixes)} == set()
        for prefix in prefixes:
            assert any(one.startswith(prefix) for one in levels)
        assert f"{OTHER}/routeq-scheduler" in self.client_ids
        ours = self.client_ids - {self.spy.name}
        assert {one for one in ours if not one.startswith(prefixes)} == set()
