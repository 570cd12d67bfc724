"""The socket transport against bytes that no decent broker would send, or not in one piece."""

from __future__ import annotations

import asyncio
import gc
import threading
from selectors import EVENT_WRITE
from typing import Any

import pytest
from paho.mqtt.client import Client

from routeq_mqtt.errors import ConnectionFailed, ConnectionLost
from routeq_mqtt.transport import aio, codec
from routeq_mqtt.transport.base import Connection, ConnectOptions, Message
from tests.cluster.recorder import TIMEOUT
from tests.transport.scripted import Peer, Script, Scripted
from tests.transport.subjects import Inbox

UNSUBACK_TYPE = 0xB0
SUBACK_TYPE = 0x90


def publish(topic: str, payload: bytes, packet_id: int, *, qos: int = 1) -> bytes:
    return codec.encode_publish(
        topic, payload, qos=qos, retain=False, packet_id=packet_id, mqtt5=True
    )


async def ended(connection: Connection) -> BaseException | None:
    async with asyncio.timeout(TIMEOUT):
        return await asyncio.shield(connection.lost)


async def rest(peer: Peer) -> None:
    """Read until the client hangs up."""
    while True:
        await peer.packet()


# -- reading ---------------------------------------------------------------------------------------


async def test_packets_may_come_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio, "_READ_SIZE", 1)
    payloads = [bytes([n]) * (n * 7 % 200) for n in range(60)]

    async def script(peer: Peer) -> None:
        await peer.welcome()
        for number, payload in enumerate(payloads, 1):
            peer.send(publish(f"t/{number}", payload, number))
            peer.send(b"\xd0\x00")  # a PINGRESP between them
        await rest(peer)

    inbox = Inbox()
    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), inbox)
        await inbox.until(len(payloads))
        await one.close()
    assert inbox.payloads == payloads
    assert [message.packet_id for message in inbox.messages] == list(range(1, 61))


@pytest.mark.parametrize("at", range(1, 30))
async def test_packets_may_be_split_anywhere(at: int) -> None:
    raw = publish("a/topic", b"first", 1) + b"\xd0\x00" + publish("t", b"second", 2)
    cut = at * len(raw) // 30
    call_next = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        peer.send(raw[:cut])
        await call_next.wait()
        peer.send(raw[cut:])
        await rest(peer)

    inbox = Inbox()
    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), inbox)
        call_next.set()
        await inbox.until(2)
        await one.close()
    assert inbox.payloads == [b"first", b"second"]


MALFORMED = {
    "a length of five bytes": b"\x30\xff\xff\xff\xff\xff\x01",
    "a topic past the end": b"\x32\x05\x00\x40abc",
    "a topic that is not UTF-8": b"\x32\x07\x00\x02\xff\xfe\x00\x01\x00",
    "properties past the end": b"\x32\x08\x00\x01t\x00\x01\x7fab",
    "no room for a packet id": b"\x32\x03\x00\x01t",
    "a PUBACK without a packet id": b"\x40\x00",
    "a packet type that a broker never sends": b"\x80\x00",
    "a reserved packet type": b"\x00\x00",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_bytes_end_the_connection_clearly(name: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        peer.send(publish("t", b"good", 1))
        peer.send(MALFORMED[name])
        peer.send(publish("t", b"behind", 2))
        await rest(peer)

    inbox = Inbox()
    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), inbox)
        waiting = one.publish("t", b"who waits is told")
        cause = await ended(one)
        with pytest.raises(ConnectionLost):
            await waiting
    assert isinstance(cause, ConnectionLost)
    assert "connection lost: " in str(cause)
    assert inbox.payloads == [b"good"]


@pytest.mark.parametrize("protocol", ["5", "auto"])
async def test_what_is_no_broker_is_named(protocol: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A web server answers a CONNECT with text: its bytes look like other packets of MQTT."""

    async def script(peer: Peer) -> None:
        await peer.packet()
        peer.send(b"HTTP/1.1 400 Bad Request\r\nServer: none\r\n\r\n" + b"x" * 100)
        await rest(peer)

    async with Scripted(script, script) as broker:
        with pytest.raises(ConnectionFailed, match="is not MQTT; something else listens on port"):
            await broker.transport(protocol).connect(ConnectOptions("a"), Inbox())
    assert not caplog.records, "the event loop has nothing to complain of"


async def test_a_broker_that_hangs_up_is_noticed() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()

    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), Inbox())
        assert isinstance(await ended(one), ConnectionLost)


@pytest.mark.slow
async def test_a_paused_connection_outlives_its_keep_alive() -> None:
    """No PINGRESP is read while it pauses, and that must not count against the broker."""
    call_next = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        pings = 0
        while pings < 3:
            first, _ = await peer.packet()
            pings += first == 0xC0
        peer.send(b"\xd0\x00" * 3 + publish("t", b"after", 1))
        call_next.set()
        await rest(peer)

    inbox = Inbox()
    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a", keep_alive=1), inbox)
        one.pause()
        async with asyncio.timeout(TIMEOUT):
            await call_next.wait()
        assert not one.lost.done()
        assert inbox.messages == []
        one.resume()
        await inbox.until(1)
        await one.close()


# -- writing ---------------------------------------------------------------------------------------


async def test_a_slow_reader_gets_every_byte() -> None:
    """Writes go out in part; nothing may be skipped or sent twice."""
    payloads = [bytes([n]) * 200_000 for n in range(100)]
    arrived: list[bytes] = []
    read_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await read_on.wait()
        for _ in payloads:
            first, body = await peer.packet()
            assert first & 0xF0 == 0x30
            arrived.append(body[6:])
            peer.send(b"\x40\x02" + body[3:5])
        await rest(peer)

    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), Inbox())
        sent = [one.publish("t", payload) for payload in payloads]
        await asyncio.sleep(0)
        read_on.set()
        async with asyncio.timeout(TIMEOUT):
            assert set(await asyncio.gather(*sent)) == {0}
        await one.close()
    assert arrived == payloads


async def test_no_more_is_in_flight_than_the_broker_allows() -> None:
    """Receive Maximum of the CONNACK (MQTT 5, 3.2.2.3.3)."""
    most = 0

    async def script(peer: Peer) -> None:
        nonlocal most
        await peer.welcome(properties=b"\x21\x00\x03")
        unanswered: list[bytes] = []
        for _ in range(10):
            while len(unanswered) < 3:
                _, body = await peer.packet()
                unanswered.append(body[3:5])
                most = max(most, len(unanswered))
            peer.send(b"\x40\x02" + unanswered.pop(0))
        for packet_id in unanswered:
            peer.send(b"\x40\x02" + packet_id)
        await rest(peer)

    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), Inbox())
        sent = [one.publish("t", b"") for _ in range(12)]
        await asyncio.gather(*sent)
        await one.close()
    assert most == 3


async def test_pubacks_may_come_in_any_order_with_any_reason() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        ids = [(await peer.packet())[1][3:5] for _ in range(3)]
        peer.send(b"\x40\x03" + ids[2] + b"\x97")
        peer.send(b"\x40\x04" + ids[0] + b"\x10\x00")
        peer.send(b"\x40\x02\x7f\x7f")  # of nobody
        peer.send(b"\x40\x02" + ids[1])
        await rest(peer)

    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), Inbox())
        sent = [one.publish("t", b"") for _ in range(3)]
        assert await asyncio.gather(*sent) == [0x10, 0, 0x97]
        await one.close()


# -- being refused ---------------------------------------------------------------------------------


def suback(body: bytes, *codes: int) -> bytes:
    return bytes((SUBACK_TYPE, 3 + len(codes))) + body[:2] + b"\x00" + bytes(codes)


async def test_refused_filters_keep_their_codes() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        _, body = await peer.packet()
        peer.send(suback(body, 1, 0x87, 0, 0x9E))
        await rest(peer)

    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), Inbox())
        assert await one.subscribe("a", "b", "c", "$share/g/d") == [1, 0x87, 0, 0x9E]
        await one.close()


@pytest.mark.parametrize("mqtt5", [True, False])
async def test_no_packet_has_more_than_8_filters(*, mqtt5: bool) -> None:
    """AWS IoT takes no more; every subscription of the bus goes this way."""
    numbers: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.welcome(mqtt5=mqtt5)
        for _ in range(3):
            _, body = await peer.packet()
            numbers.append(body.count(b"filter/"))
            codes = bytes([1] * numbers[-1])
            head = body[:2] + (b"\x00" if mqtt5 else b"")
            peer.send(bytes((SUBACK_TYPE, len(head + codes))) + head + codes)
        for _ in range(3):
            _, body = await peer.packet()
            numbers.append(body.count(b"filter/"))
            reasons = b"\x00" + bytes(numbers[-1]) if mqtt5 else b""
            peer.send(bytes((UNSUBACK_TYPE, 2 + len(reasons))) + body[:2] + reasons)
        await rest(peer)

    filters = [f"filter/{number:02}" for number in range(20)]
    async with Scripted(script) as broker:
        transport = broker.transport("5" if mqtt5 else "3.1.1")
        one = await transport.connect(ConnectOptions("a"), Inbox())
        assert await one.subscribe(*filters) == [1] * 20
        await one.unsubscribe(*filters)
        await one.close()
    assert numbers == [8, 8, 4] * 2


@pytest.mark.parametrize(
    ("protocol", "reason", "words"),
    [
        ("5", 0x87, "Not authorized; the broker requires authentication: set ROUTEQ_USERNAME"),
        ("5", 0x97, "Quota exceeded$"),
        ("5", 0x85, "its rules do not allow our client identifier"),
        ("5", 0x84, "it does not speak MQTT 5: set ROUTEQ_PROTOCOL=auto"),
        ("3.1.1", 5, "authori"),
    ],
)
async def test_a_refused_connect_says_why(protocol: str, reason: int, words: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome(mqtt5=protocol == "5", reason=reason)

    async with Scripted(script) as broker:
        transport = broker.transport("5" if protocol == "5" else "3.1.1")
        with pytest.raises(ConnectionFailed, match=f"(?i)refused.*{words}"):
            await transport.connect(ConnectOptions("a"), Inbox())


async def test_a_broker_of_3_1_1_is_spoken_to_in_3_1_1() -> None:
    levels = []

    async def refuse(peer: Peer) -> None:
        levels.append(await peer.welcome(mqtt5=False, reason=1))

    async def agree(peer: Peer) -> None:
        levels.append(await peer.welcome(mqtt5=False))
        await rest(peer)

    scripts: list[Script] = [refuse, agree, agree]
    async with Scripted(*scripts) as broker:
        transport = broker.transport("auto")
        one = await transport.connect(ConnectOptions("a"), Inbox())
        two = await transport.connect(ConnectOptions("b"), Inbox())
        assert not one.mqtt5
        await one.close()
        await two.close()
    assert levels == [5, 4, 4]


async def test_a_broker_that_hangs_up_on_connect_is_a_failure() -> None:
    async def script(peer: Peer) -> None:
        await peer.packet()

    async with Scripted(script) as broker:
        with pytest.raises(ConnectionFailed):
            await broker.transport().connect(ConnectOptions("a"), Inbox())


async def test_an_attempt_that_is_cancelled_hangs_up_and_says_nothing_later() -> None:
    asked, told = asyncio.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

    async def script(peer: Peer) -> None:
        await peer.packet()
        asked.set()
        await rest(peer)

    async with Scripted(script) as broker:
        connecting = asyncio.create_task(
            broker.transport().connect(ConnectOptions("a"), Inbox()),
        )
        await asked.wait()
        connecting.cancel()
        await asyncio.wait({connecting})
    del connecting
    gc.collect()
    assert told == []


async def test_a_socket_that_comes_after_the_cancellation_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """paho connects in a thread, which goes on when the task that waits for it is cancelled."""
    begun, may_connect, hung_up = asyncio.Event(), threading.Event(), asyncio.Event()
    loop, connect = asyncio.get_running_loop(), Client._create_socket

    def slowly(self: Client) -> Any:
        loop.call_soon_threadsafe(begun.set)
        may_connect.wait(TIMEOUT)
        return connect(self)

    async def script(peer: Peer) -> None:
        try:
            await rest(peer)
        finally:
            hung_up.set()

    monkeypatch.setattr(Client, "_create_socket", slowly)
    async with Scripted(script) as broker:
        before = asyncio.all_tasks()
        connecting = asyncio.create_task(broker.transport().connect(ConnectOptions("a"), Inbox()))
        await begun.wait()
        connecting.cancel()
        await asyncio.wait({connecting})
        may_connect.set()
        async with asyncio.timeout(TIMEOUT):
            await hung_up.wait()
        left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert "mqtt-keep-alive" not in left


async def test_an_old_connections_acknowledgement_never_reaches_a_new_one() -> None:
    """Packet ids are used again: each message is acknowledged on the connection that brought it."""
    seen: list[tuple[int, bytes]] = []
    read = asyncio.Event()

    async def first(peer: Peer) -> None:
        await peer.welcome()
        peer.send(publish("t", b"old", 1))
        await read.wait()

    async def second(peer: Peer) -> None:
        await peer.welcome()
        peer.send(publish("t", b"new", 1))
        while True:
            seen.append(await peer.packet())

    old, new = Inbox(), Inbox()
    async with Scripted(first, second) as broker:
        transport = broker.transport()
        one = await transport.connect(ConnectOptions("a"), old)
        [message] = await old.until(1)
        assert isinstance(message, Message)
        read.set()
        await ended(one)
        two = await transport.connect(ConnectOptions("a"), new)
        await new.until(1)
        one.acknowledge(message)
        await two.close()
    assert [first_byte for first_byte, _ in seen] == [0xE0]


# -- rest ------------------------------------------------------------------------------------------


async def test_what_was_written_at_once_leaves_no_writer_with_the_loop() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        first, body = await peer.packet()
        assert first & 0xF0 == 0x80
        peer.send(b"\x90\x04" + body[:2] + b"\x00\x01")
        await rest(peer)

    loop: Any = asyncio.get_running_loop()
    async with Scripted(script) as broker:
        one = await broker.transport().connect(ConnectOptions("a"), lambda message: None)
        asking = asyncio.ensure_future(one.subscribe("t"))
        await asyncio.sleep(0)  # paho has asked for a writer, which comes a turn later
        one.publish("t", b"", qos=0)
        one.flush()  # … and has no use for it any more
        assert await asking == [1]
        writers = [key for key in loop._selector.get_map().values() if key.events & EVENT_WRITE]
        await one.close()
    assert writers == []


# -- what brokers are like -------------------------------------------------------------------------


async def hang_up(peer: Peer) -> None:
    """As RabbitMQ 3.10 does, whose log then says that it does not know the protocol version."""
    _, body = await peer.packet()
    assert body[6] == 5


async def old(peer: Peer) -> None:
    assert await peer.welcome(mqtt5=False) == 4
    await rest(peer)


async def test_a_broker_that_hangs_up_on_mqtt_5_is_spoken_to_in_3_1_1() -> None:
    async with Scripted(*[hang_up, old] * 3, old) as broker:
        transport = broker.transport("auto")
        for _ in range(4):  # the last one does not ask again
            one = await transport.connect(ConnectOptions("a"), lambda message: None)
            assert not one.mqtt5
            await one.close()


async def test_a_broker_that_only_restarts_is_spoken_to_in_mqtt_5_afterwards() -> None:
    async def new(peer: Peer) -> None:
        assert await peer.welcome() == 5
        await rest(peer)

    async with Scripted(hang_up, old, new) as broker:
        transport = broker.transport("auto")
        for mqtt5 in (False, True):
            one = await transport.connect(ConnectOptions("a"), lambda message: None)
            assert one.mqtt5 is mqtt5
            await one.close()


async def test_a_broker_that_takes_qos_0_only_is_named() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome(properties=b"\x24\x00")
        await rest(peer)

    async with Scripted(script) as broker:
        with pytest.raises(ConnectionFailed, match="max_qos"):
            await broker.transport().connect(ConnectOptions("a"), lambda message: None)
