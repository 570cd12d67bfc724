"""Websocket and unix listeners."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeq_broker import AddressInUse, Broker, BrokerError
from routeq_broker.network.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    FrameReader,
    WrongFrame,
    unmasked,
)
from routeq_broker.network.listeners import Address, Origins
from routeq_mqtt.transport.address import BrokerAddress
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import ConnectOptions
from tests.broker.conftest import Start
from tests.broker.wire import PINGREQ, Wire, connect
from tests.transport.subjects import Inbox


def client_frame(kind: int, payload: bytes, *, fin: bool = True, mask: bytes = b"abcd") -> bytes:
    size = len(payload)
    head = bytes((fin << 7 | kind,))
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 1 << 16:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + mask + masked


@given(st.lists(st.binary(max_size=70_000), min_size=1, max_size=4), st.data())
def test_a_message_comes_whole_however_it_is_cut(pieces: list[bytes], data: st.DataObject) -> None:
    wire = b""
    for number, piece in enumerate(pieces):
        kind = BINARY if number == 0 else 0
        wire += client_frame(PING, b"in between") if number == 1 else b""
        wire += client_frame(kind, piece, fin=number == len(pieces) - 1, mask=os.urandom(4))
    reader, came, pings = FrameReader(), b"", 0
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        for kind, payload in reader.read(wire[:size]):
            came += payload if kind == BINARY else b""
            pings += kind == PING
        wire = wire[size:]
    assert came == b"".join(pieces)
    assert pings == (len(pieces) > 1)


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_refused(raw: bytes) -> None:
    code = 1_002
    try:
        for _ in FrameReader().read(raw):
            pass
    except WrongFrame as error:
        code = error.code
    assert code in {1_002, 1_003}


@given(st.binary(max_size=50), st.binary(min_size=4, max_size=4))
def test_unmasked_twice_is_the_same(data: bytes, mask: bytes) -> None:
    assert unmasked(unmasked(data, mask), mask) == data


HANDSHAKE = (
    "GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade"
    "\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)


def request(more: str = "Sec-WebSocket-Protocol: mqtt\r\n") -> bytes:
    key = base64.b64encode(b"0123456789abcdef").decode()
    return HANDSHAKE.format(key=key, more=more).encode()


async def answer(
    broker: Broker, raw: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.ports[1])
    writer.write(raw)
    async with asyncio.timeout(10):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            head = error.partial
    return reader, writer, head


async def test_control_frames_are_answered(start: Start) -> None:
    broker = await start(ws_bind=["127.0.0.1:0"])
    reader, writer, head = await answer(broker, request() + client_frame(BINARY, connect("c")))
    assert b"101 Switching Protocols" in head
    assert b"Sec-WebSocket-Protocol: mqtt\r\n" in head
    async with asyncio.timeout(10):
        assert await reader.readexactly(6) == b"\x82\x04\x20\x02\x00\x00"
        writer.write(client_frame(PING, b"hello"))
        assert await reader.readexactly(7) == bytes((0x80 | PONG, 5)) + b"hello"
        writer.write(client_frame(CLOSE, (1_000).to_bytes(2, "big")))
        assert await reader.readexactly(4) == bytes((0x80 | CLOSE, 2)) + b"\x03\xe8"
        assert await reader.read() == b""


async def opened(broker: Broker) -> tuple[Any, asyncio.StreamReader, asyncio.StreamWriter]:
    """A websocket whose client has logged in, as the broker has it, and its client's streams."""
    reader, writer, _ = await answer(broker, request() + client_frame(BINARY, connect("c")))
    async with asyncio.timeout(10):
        await reader.readexactly(6)
    connection: Any = broker._clients.sessions["c"].connection  # type: ignore[union-attr]
    return connection._transport._transport.get_protocol(), reader, writer


async def test_of_many_pings_only_the_last_is_answered(start: Start) -> None:
    broker = await start(ws_bind=["127.0.0.1:0"])
    websocket, reader, writer = await opened(broker)
    websocket.pause_writing()  # its client does not read
    websocket.data_received(client_frame(PING, b"x" * 100) * 200 + client_frame(PING, b"last"))
    assert websocket._transport.get_write_buffer_size() == 0
    websocket.resume_writing()
    async with asyncio.timeout(10):
        assert await reader.readexactly(6) == bytes((0x80 | PONG, 4)) + b"last"
        websocket.data_received(client_frame(PING, b"x") * 200 + client_frame(PING, b"end"))
        assert await reader.readexactly(5) == bytes((0x80 | PONG, 3)) + b"end"
    writer.close()


async def test_many_small_frames_leave_others_their_turn(start: Start) -> None:
    broker = await start(ws_bind=["127.0.0.1:0"])
    websocket, reader, writer = await opened(broker)
    counters = websocket._connection._counters
    before = counters.packets_received
    websocket.data_received(client_frame(BINARY, PINGREQ) * 1_000 + client_frame(PING, b"end"))
    assert 0 < counters.packets_received - before <= 256
    answers = b""
    async with asyncio.timeout(10):
        while answers.count(b"\xd0\x00") < 1_000 or b"end" not in answers:
            answers += await reader.read(10_000)
    writer.write(client_frame(PING, b"again"))  # it is read again
    async with asyncio.timeout(10):
        assert await reader.readexactly(7) == bytes((0x80 | PONG, 5)) + b"again"
    writer.close()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"426"),
        (b"POST / HTTP/1.1\r\n\r\n", b"400"),
        (request(""), b"400"),
        (request("Sec-WebSocket-Protocol: chat\r\n"), b"400"),
        (request("Sec-WebSocket-Protocol: mqtt\r\nOrigin: https://evil.example\r\n"), b"403"),
        (b"GET /" + b"x" * 10_000, b"431"),
        (b"\x10\x0c\x00\x04MQTT\r\n\r\n", b"400"),
    ],
)
async def test_a_request_that_is_refused_is_told_why(
    start: Start, raw: bytes, status: bytes
) -> None:
    broker = await start(ws_bind=["127.0.0.1:0"])
    reader, _, head = await answer(broker, raw)
    assert head.startswith(b"HTTP/1.1 " + status)
    assert await reader.read() == b""


@pytest.mark.parametrize(
    "raw",
    [client_frame(1, b"text"), b"\x82\x01x", client_frame(0, b"x"), client_frame(11, b"x")],
)
async def test_a_frame_that_is_wrong_ends_the_connection(start: Start, raw: bytes) -> None:
    broker = await start(ws_bind=["127.0.0.1:0"])
    reader, writer, _ = await answer(broker, request())
    writer.write(raw)
    async with asyncio.timeout(10):
        rest = await reader.read()
    assert rest[0] == 0x80 | CLOSE
    assert not broker._handler.connections  # type: ignore[union-attr]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_bus_runs_over_a_websocket(start: Start, protocol: str) -> None:
    broker = await start(ws_bind=["127.0.0.1:0"])
    address = BrokerAddress(
        port=broker.ports[1],
        protocol=protocol,  # type: ignore[arg-type]
        websocket_path="/mqtt",
    )
    inbox = Inbox(acknowledge=True)
    connection = await AioTransport(address).connect(ConnectOptions("c"), inbox)
    inbox.connection = connection
    await connection.subscribe("t")
    payloads = [bytes((number % 251,)) * number * 50 for number in range(400)]
    await connection.publish_many([("t", payload) for payload in payloads])
    await inbox.until(len(payloads))
    assert inbox.payloads == payloads
    await connection.close()


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "asks", "yes"),
    [
        (None, "x", (), False, True),
        ("http://localhost:8080", "127.0.0.1:9001", (), False, True),
        ("http://panel.example", "panel.example:9001", (), False, True),
        ("https://evil.example", "127.0.0.1:9001", (), False, False),
        ("https://evil.example", "127.0.0.1:9001", (), True, True),
        ("https://evil.example", "127.0.0.1:9001", ("https://panel.example",), True, False),
        ("https://panel.example", "127.0.0.1:9001", ("https://panel.example",), False, True),
        ("https://evil.example", "x", ("*",), False, True),
        ("null", "x", (), False, False),
    ],
)
def test_which_pages_may_connect(
    origin: str | None, host: str, allowed: tuple[str, ...], asks: bool, yes: bool
) -> None:
    assert Origins(allowed, lambda: asks)(origin, host) is yes


async def test_a_unix_socket(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))  # of a broker that was killed
    broker = await start(bind=["127.0.0.1:0", f"unix:{path}"])
    assert broker.port
    assert broker.ports[1] == 0
    wire = Wire(*await asyncio.open_unix_connection(path), level=5)
    wire.send(connect("c", level=5))
    assert (await wire.get(2)).code == 0
    await wire.barrier()
    with pytest.raises(AddressInUse, match="another program listens"):
        await Broker(f"unix:{path}").start()
    await broker.stop()
    assert not path.exists()


async def test_nothing_listens_where_one_address_is_taken(start: Start) -> None:
    first = await start()
    second = Broker(["127.0.0.1:0", f"127.0.0.1:{first.port}"])
    with pytest.raises(AddressInUse, match=f"cannot listen on 127.0.0.1:{first.port}"):
        await second.start()
    with pytest.raises(BrokerError, match="needs a certificate"):
        await Broker("mqtts://127.0.0.1:0").start()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:1883", Address("127.0.0.1", 1883)),
        (":1883", Address("127.0.0.1", 1883)),
        ("[::1]:1", Address("::1", 1)),
        ("mqtt://a:1", Address("a", 1, tls=False)),
        ("mqtts://a:1", Address("a", 1, tls=True)),
        ("ws://a:1", Address("a", 1, websocket=True, tls=False)),
        ("wss://a:1", Address("a", 1, websocket=True, tls=True)),
        ("unix:/a/b", Address(path=Path("/a/b"))),
    ],
)
def test_addresses(text: str, wanted: Address) -> None:
    assert Address.parse(text) == wanted


@pytest.mark.parametrize("text", ["", "x", "a:b", "a:70000", "http://a:1:", "unix:", "a:²"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(BrokerError, match="is not an address; write it as"):
        Address.parse(text)
