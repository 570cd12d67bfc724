"""How a link comes back, in a world where time passes at once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from routeq_mqtt.errors import ConnectionFailed
from routeq_mqtt.testing.memory.broker import MemoryBroker
from routeq_mqtt.testing.memory.transport import MemoryTransport
from routeq_mqtt.transport.base import Connection, ConnectOptions, OnMessage
from routeq_mqtt.transport.reconnecting import Link
from tests.cluster.recorder import TIMEOUT
from tests.model.loop import VirtualLoop


class Broker(MemoryBroker):
    """Ends a connection so many seconds after it was made; `lives` None: it lives on."""

    def __init__(self) -> None:
        super().__init__()
        self.lives: float | None = None
        self.refuse = False
        self.times: list[float] = []

    async def set_up(self, connection: Connection) -> None:
        if self.refuse:
            raise ConnectionFailed("refused")
        loop = asyncio.get_running_loop()
        self.times.append(loop.time())
        await connection.subscribe("t")
        if self.lives is not None:
            loop.call_later(self.lives, self.cut, "a")


def link_of(broker: Broker, transport: MemoryTransport) -> Link:
    return Link(
        transport, ConnectOptions("a"), lambda connection, message: None, set_up=broker.set_up
    )


def run(test: Callable[[Broker, Link], Coroutine[Any, Any, None]]) -> None:
    async def body() -> None:
        broker = Broker()
        link = link_of(broker, MemoryTransport(broker))
        link.start()
        await link.ready()
        try:
            await test(broker, link)
        finally:
            await link.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(body())


@pytest.mark.parametrize("lived", [0.0, 0.1, 60.0])
def test_a_single_loss_costs_no_time(lived: float) -> None:
    async def test(broker: Broker, link: Link) -> None:
        await asyncio.sleep(lived)
        broker.cut("a")
        await asyncio.sleep(0)
        await link.ready()
        assert broker.times == [0.0, lived]

    run(test)


@pytest.mark.parametrize("lives", [0.0, 0.01])
def test_a_broker_that_accepts_and_closes_is_asked_less_and_less(lives: float) -> None:
    async def test(broker: Broker, link: Link) -> None:
        broker.lives = lives
        broker.cut("a")
        await asyncio.sleep(10.0)
        assert len(broker.times) < 30
        waits = [after - before for before, after in itertools.pairwise(broker.times)]
        assert waits[0] == 0.0
        assert waits[-1] >= 0.5
        broker.lives = None
        healed = asyncio.get_running_loop().time()
        await asyncio.sleep(2.5)
        assert link.connection is not None
        assert broker.times[-1] - healed <= 1.0 + lives
        before = len(broker.times)
        await asyncio.sleep(10.0)
        broker.cut("a")  # and forgiven
        await asyncio.sleep(0)
        await link.ready()
        assert len(broker.times) == before + 1

    run(test)


def test_a_line_that_is_cut_every_second_for_a_minute_is_back_at_once_each_time() -> None:
    async def test(broker: Broker, link: Link) -> None:
        for _ in range(60):
            await asyncio.sleep(1.0)
            broker.cut("a")
        await asyncio.sleep(0.001)
        assert broker.times == [float(second) for second in range(61)]

    run(test)


def test_the_log_says_for_how_long_a_connection_was_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(broker: Broker, link: Link) -> None:
        assert "connected again" not in caplog.text
        broker.refuse = True
        broker.cut("a")
        await asyncio.sleep(26.0)
        broker.refuse = False
        await link.ready()

    with caplog.at_level("INFO", "routeq_mqtt"):
        run(test)
    [line] = [one for one in caplog.messages if "connected again" in one]
    found = re.fullmatch(r"connected again after (\d+\.\d) s client=a", line)
    assert found is not None
    assert 26.0 <= float(found[1]) <= 32.0


class Deaf(MemoryTransport):
    """Loses a cancellation, as `asyncio.wait_for` of Python 3.11 does at a bad moment."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.connected = asyncio.Event()

    async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
        connection = await super().connect(options, on_message)
        self.connected.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Future()
        return connection


async def test_a_link_that_is_closed_while_it_connects_stays_away() -> None:
    broker = Broker()
    transport = Deaf(broker)
    link = link_of(broker, transport)
    link.start()
    await transport.connected.wait()
    async with asyncio.timeout(TIMEOUT):
        await link.close()
    assert broker.connected() == []
