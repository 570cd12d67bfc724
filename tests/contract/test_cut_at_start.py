"""A connection that is lost at any packet of a start, or of a worker's life, costs nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from routeq_mqtt import Bus, Job
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import BrokerOptions, MemoryBroker, MemoryTransport
from routeq_mqtt.testing.memory.packets import Packet
from routeq_mqtt.testing.memory.transport import MemoryConnection
from routeq_mqtt.transport.base import ConnectOptions, OnMessage
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker
from tests.cluster.recorder import TIMEOUT

MOST = 100
"""More packets than a service sends here."""

AT_ONCE = 8

RAN: list[str] = []
NEWS = Notifier()


class CutAtStart(Job):
    word: str

    async def handle(self) -> None:
        RAN.append(self.word)
        NEWS.notify()


class Cutting(MemoryTransport):
    """Cuts the connection of the n-th packet that its clients send."""

    def __init__(self, broker: MemoryBroker, at: int) -> None:
        super().__init__(broker)
        self.left = at

    def make(
        self, options: ConnectOptions, on_message: OnMessage, *, mqtt5: bool | None = None
    ) -> MemoryConnection:
        connection = super().make(options, on_message)
        send = connection.wire.up.send

        def counted(packet: Packet) -> None:
            self.left -= 1
            if self.left:
                send(packet)
            else:
                asyncio.get_running_loop().call_soon(self.broker.sever, connection.wire)

        connection.wire.up.send = counted  # type: ignore[method-assign]
        return connection


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not true():
            await NEWS.wait()


@asynccontextmanager
async def running(service: Worker | Scheduler) -> AsyncIterator[None]:
    task = asyncio.create_task(service.run())
    online = asyncio.create_task(service.online.wait())
    async with asyncio.timeout(TIMEOUT):
        await asyncio.wait({task, online}, return_when=asyncio.FIRST_COMPLETED)
    online.cancel()
    try:
        assert not task.done(), task.exception()
        yield
    finally:
        service.stop()
        async with asyncio.timeout(TIMEOUT):
            await task


async def works(bus: Bus, word: str) -> None:
    """Jobs run, and orders are obeyed."""
    await bus.dispatch(CutAtStart(word=f"{word} 1"))
    await until(lambda: f"{word} 1" in RAN)
    await bus.pause("default")
    await bus.dispatch(CutAtStart(word=f"{word} 2"))
    await bus.resume("default")
    await until(lambda: f"{word} 2" in RAN)


@pytest.mark.slow
@pytest.mark.parametrize("mqtt5", [True, False])
@pytest.mark.parametrize("who", ["worker", "scheduler", "producer"])
async def test_a_connection_lost_while_it_starts(who: str, mqtt5: bool, tmp_path: Path) -> None:
    for first in range(1, MOST, AT_ONCE):
        stories = [
            asyncio.create_task(story(who, at, tmp_path / str(at), mqtt5=mqtt5))
            for at in range(first, first + AT_ONCE)
        ]
        if not all(await asyncio.gather(*stories)):
            return
    raise AssertionError(f"more than {MOST} packets")


async def story(who: str, at: int, folder: Path, *, mqtt5: bool) -> bool:
    """Whether there was a packet to cut at."""
    folder.mkdir()  # noqa: ASYNC240 - a test
    broker = MemoryBroker(BrokerOptions(mqtt5=mqtt5))
    broker.start()
    transports = {name: MemoryTransport(broker) for name in ("scheduler", "worker", "producer")}
    cut = transports[who] = Cutting(broker, at)
    scheduler = Scheduler(transports["scheduler"], SchedulerOptions(db=folder / "routeq.db"))
    worker = Worker(
        transports["worker"], WorkerOptions(queues=("default",), concurrency=2), in_thread=False
    )
    bus = Bus(settings=Settings(), transport=transports["producer"])
    async with running(scheduler), running(worker), bus:
        if who != "worker":  # a request whose answer is cut off fails, and says so
            if cut.left > 0:
                return False
            cut.left = -1
        await works(bus, f"{who} {mqtt5} {at}")
    return cut.left <= 0
