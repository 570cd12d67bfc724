"""SUBSCRIBE to brokers that fail for the moment, and to those that refuse."""

from __future__ import annotations

import pytest

from routeq_mqtt.transport import aio
from routeq_mqtt.transport.base import ConnectOptions
from tests.transport.scripted import Peer, Scripted
from tests.transport.subjects import Inbox
from tests.transport.test_aio_bytes import rest, suback


async def test_a_filter_that_fails_for_the_moment_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a node of a NATS cluster says while another one has just died."""
    asked = []

    async def script(peer: Peer) -> None:
        await peer.welcome()
        for codes in ((1, 0x80, 0x87, 0x80), (1, 0x80), (1,)):
            _, body = await peer.packet()
            asked.append(body[3:])
            peer.send(suback(body, *codes))
        await rest(peer)

    monkeypatch.setattr(aio, "_BY_RULE", 0.0)
    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), Inbox())
        assert await one.subscribe("a", "b", "c", "d") == [1, 1, 0x87, 1]
        await one.close()
    assert [[name for name in b"abcd" if name in body] for body in asked] == [
        list(b"abcd"),
        list(b"bd"),
        list(b"d"),
    ]


async def test_a_filter_that_is_refused_at_once_is_not_tried_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        _, body = await peer.packet()
        peer.send(suback(body, 1, 0x80))
        await rest(peer)

    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), Inbox())
        assert await one.subscribe("a", "b") == [1, 0x80]
        await one.close()
