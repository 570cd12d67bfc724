"""Idle connections that are dropped without a word, as NATs and firewalls do."""

from __future__ import annotations

import asyncio
import socket

import pytest

from routeq_mqtt import Bus
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport import watch
from routeq_mqtt.transport.address import BrokerAddress
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import ConnectOptions
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.proxy import Proxy
from tests.cluster.recorder import TIMEOUT
from tests.transport.scripted import Peer, Scripted


async def test_a_dispatch_into_a_black_hole_arrives_in_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "ANSWER_WITHIN", 0.5)
    await cluster.worker()
    proxy = Proxy(cluster.port)
    await proxy.start()
    async with Bus(settings=Settings(url=proxy.url, timeout=8.0)) as bus:
        for number in range(3):
            await bus.dispatch(Report(key=str(number)))
            proxy.swallow()
        await bus.bulk([Report(key="bulk 1"), Report(key="bulk 2")])
        await cluster.recorder.count("ran", 5)
    await proxy.stop()


async def test_there_is_time_left_of_a_dispatch() -> None:
    assert Settings().timeout - 2.0 > 2 * watch.ANSWER_WITHIN


async def test_a_broker_that_answers_slowly_but_lives_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "ANSWER_WITHIN", 0.05)
    pings = 0

    async def script(peer: Peer) -> None:
        nonlocal pings
        await peer.welcome()
        _, body = await peer.packet()
        while pings < 5:
            first, _ = await peer.packet()
            assert first == 0xC0
            pings += 1
            peer.send(b"\xd0\x00")
        peer.send(b"\x40\x02" + body[3:5])
        while True:
            await peer.packet()

    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), lambda message: None)
        async with asyncio.timeout(TIMEOUT):
            assert await one.publish("t", b"payload") == 0
        await one.close()
    assert pings == 5


async def test_a_slow_line_is_no_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ANSWER_WITHIN", 0.2)
    size = 4_000_000

    async def script(peer: Peer) -> None:
        await peer.welcome()
        left = size
        while left > 0:
            await asyncio.sleep(0.02)
            left -= len(await peer.reader.read(40_000))
        peer.send(b"\x40\x02\x00\x01")
        while await peer.reader.read(1 << 16):
            pass

    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)  # what waits, waits with us
    async with Scripted(script, listening=listening) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), lambda message: None)
        async with asyncio.timeout(TIMEOUT):
            assert await one.publish("t", bytes(size)) == 0
        await one.close()


@pytest.mark.parametrize(("setting", "asked"), [(None, 30), (7, 7), (60, 30)])
async def test_the_keep_alive_is_a_setting(setting: int | None, asked: int) -> None:
    said: list[int] = []

    async def script(peer: Peer) -> None:
        _, body = await peer.packet()
        said.append(int.from_bytes(body[8:10], "big"))
        peer.send(b"\x20\x03\x00\x00\x00")
        while True:
            await peer.packet()

    async with Scripted(script) as broker:
        port = broker.transport().address.port
        address = BrokerAddress(port=port, protocol="5", keep_alive=setting)
        one = await AioTransport(address).connect(ConnectOptions("a"), lambda message: None)
        await one.close()
    assert said == [asked]


async def test_a_broker_that_reads_nothing_while_it_subscribes_us_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node of a NATS cluster, for as long as the others elect a leader."""
    monkeypatch.setattr(watch, "ANSWER_WITHIN", 0.02)

    async def script(peer: Peer) -> None:
        await peer.welcome()
        _, body = await peer.packet()
        await asyncio.sleep(0.2)  # a PINGREQ, had there been one, and the end behind it
        peer.send(b"\x90\x04" + body[:2] + b"\0\1")
        while True:
            await peer.packet()

    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), lambda message: None)
        async with asyncio.timeout(TIMEOUT):
            assert await one.subscribe("t") == [1]
        await one.close()
