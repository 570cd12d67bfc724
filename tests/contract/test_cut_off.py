"""A worker that is cut off while it holds jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from routeq_mqtt import Job
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import Connection, ConnectOptions, OnMessage
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker
from tests.cluster.jobs import Gated

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

RUNS: list[str] = []


class TakenOver(Job):
    async def handle(self) -> None:
        RUNS.append(str(self.job_id))


class Network(MemoryTransport):
    """Some clients cannot connect."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.blocked: set[str] = set()
        self.news = Notifier()
        self.tried: list[str] = []

    async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
        self.tried.append(options.client_id)
        self.news.notify()
        await self.until(lambda: options.client_id not in self.blocked)
        connection = await super().connect(options, on_message)
        self.news.notify()
        return connection

    def block(self, client_id: str) -> None:
        self.blocked.add(client_id)
        self.broker.cut(client_id)

    def let_through(self, client_id: str) -> None:
        self.blocked.discard(client_id)
        self.news.notify()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():
                await self.news.wait()


async def _started(
    network: Network, options: WorkerOptions
) -> tuple[Worker, asyncio.Task[None], str]:
    """A worker that is online, its run, and the identifier of its session."""
    worker = Worker(network, options, in_thread=False)
    task = asyncio.create_task(worker.run())
    await worker.online.wait()
    [session] = [name for name in network.tried if name.endswith("/default")]
    return worker, task, session


async def _everything_that_can_happen() -> None:
    for _ in range(500):
        await asyncio.sleep(0)


async def test_a_job_that_was_taken_over_while_its_start_was_told_does_not_run() -> None:
    RUNS.clear()
    network = Network(MemoryBroker())
    topics = Topics()
    worker, task, session = await _started(network, WorkerOptions(queues=("default",)))
    life = session.removesuffix("/default")
    sender = next(name for name in network.tried if name == f"{life}-out")
    network.block(sender)
    other = await network.connect(ConnectOptions("other"), lambda message: None)
    for name in ("first", "second"):
        job = Envelope(id=name, job="TakenOver", deliveries=2)
        assert await other.publish(topics.delivery("default"), job.encode()) == 0
    await _everything_that_can_happen()
    network.block(life)
    await other.publish(topics.fence(life), b"adopted", retain=True)
    network.let_through(sender)
    await network.until(lambda: sender in network.broker.connected())
    await _everything_that_can_happen()
    assert RUNS == []
    network.let_through(life)
    await network.until(lambda: sum(name.endswith("/default") for name in network.tried) > 1)
    assert RUNS == []
    worker.stop()
    await task


class CutOff(Job):
    async def handle(self) -> None:
        await GATE.wait()
        RUNS.append(str(self.job_id))
        if len(RUNS) == len(NAMES):
            ALL_RAN.set()


NAMES = ("first", "second", "third", "fourth")
GATE = asyncio.Event()
ALL_RAN = asyncio.Event()


async def test_a_full_worker_that_was_cut_off_goes_on() -> None:
    """More comes before its SUBACK than it has room for: it must read on, or nothing ends here."""
    RUNS.clear()
    network = Network(MemoryBroker())
    options = WorkerOptions(queues=("default",), concurrency=1, prefetch=1)
    worker, task, session = await _started(network, options)
    other = await network.connect(ConnectOptions("other"), lambda message: None)

    async def send(name: str) -> None:
        job = Envelope(id=name, job="CutOff")
        assert await other.publish(Topics().delivery("default"), job.encode()) == 0

    for name in NAMES[:2]:  # one runs, one waits: the window is full
        await send(name)
    await _everything_that_can_happen()
    network.block(session)
    for name in NAMES[2:]:
        await send(name)
    GATE.set()
    await _everything_that_can_happen()  # the first has ended, and waits for a connection
    network.let_through(session)
    async with asyncio.timeout(10):
        await ALL_RAN.wait()
    assert sorted(RUNS) == sorted(NAMES)
    worker.stop()
    await task


async def test_a_full_worker_outlives_a_restart_of_its_broker(cluster: Cluster) -> None:
    """A job ends while the broker is away; all that was held comes again before the SUBACK."""
    await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "1", "--prefetch", "1")
    async with cluster.bus() as bus:
        await bus.bulk(Gated(key=key, gate="end") for key in NAMES)
    await cluster.recorder.count("waits", 1)
    await cluster.stop_broker()
    cluster.recorder.open("end")
    await cluster.recorder.count("ran", 1)
    await cluster.start_broker()
    await cluster.recorder.count("ran", len(NAMES))
    assert set(cluster.recorder.ran().values()) == {1}
