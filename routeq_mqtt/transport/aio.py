"""`Transport` over aiomqtt: the one home of aiomqtt and paho.

aiomqtt and paho connect, subscribe, ping and disconnect. The two packets that carry all traffic,
PUBLISH and PUBACK, go through `codec` instead: aiomqtt acknowledges on arrival, hides the PUBACK
reason, reads byte by byte and keeps a task or an Event for each message. That takes the private
names below; `tests/transport/test_private_names.py` fails clearly when a new version lacks one.

aiomqtt: `_client` the paho client; `_loop`, `_connected`, `_disconnected`, `_misc_task`,
    `_client_connect` and the `_on_…`/`_misc_loop` methods that are overridden here.
paho: `_sock_recv` and `_sock_send` one read and one write through TLS or websocket, `_sock` what
    they use; `_in_packet` and `_packet_handle` hand it a
    packet that is not ours; `_out_packet` takes bytes to write, and `loop_write` (public) sends
    them; `_mid_generate` the next packet id; `_loop_rc_handle` ends a broken connection;
    `_last_bytes_received`, `_last_msg_out` and `_ping_t` the keep-alive's memory.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from routeq_mqtt.errors import ConfigurationError, ConnectionFailed, ConnectionLost
from routeq_mqtt.signal import Signal
from routeq_mqtt.transport import codec, mends
from routeq_mqtt.transport.seam import Connection, ConnectOptions, Message, OnMessage
from routeq_mqtt.transport.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.transport.address import BrokerAddress

_READ_SIZE = 1 << 16
_WRITE_SIZE = 1 << 18
_WINDOW = 4096
_SILENCE = 0.001
"""Seconds without a write after which the next packet does not wait for others to join it."""

_AT_ONCE = 128
"""Messages of a batch that are written with one system call."""


class _Batch:
    """Messages that one caller waits for: a counter instead of a future for each."""

    __slots__ = ("_left", "done", "reasons")

    def __init__(self, size: int, done: asyncio.Future[None]) -> None:
        self.reasons: list[int | None] = [None] * size
        self.done = done
        self._left = size

    def acknowledged(self, index: int, reason: int) -> None:
        """The PUBACK of one message."""
        self.reasons[index] = reason
        self._left -= 1
        if not self._left:
            self.end()

    def end(self) -> None:
        """No more PUBACKs will come."""
        if not self.done.done():
            self.done.set_result(None)


class _Client(aiomqtt.Client):
    """One connection: aiomqtt's handshake with a hot path of our own."""

    def __init__(self, address: BrokerAddress, options: ConnectOptions, *, mqtt5: bool) -> None:
        super().__init__(
            address.host,
            address.port,
            identifier=options.client_id,
            username=address.username,
            password=address.password,
            protocol=aiomqtt.ProtocolVersion.V5 if mqtt5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if mqtt5 else not options.persistent,
            clean_start=not options.persistent if mqtt5 else MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=options.keep_alive,
            properties=_connect_properties(options) if mqtt5 else None,
            will=_will(options),
            transport="tcp" if address.websocket_path is None else "websockets",
            websocket_path=address.websocket_path,
            tls_context=tls_context(address),
        )
        self.keep_alive = options.keep_alive
        self.mqtt5 = mqtt5
        self.session_present = False
        self.session_expiry: int | None = None
        self.lost: asyncio.Future[BaseException | None] = self._loop.create_future()
        self.on_message: OnMessage | None = None
        self._in = bytearray()
        self._out: list[bytes] = []
        self._flushing = False
        self._quiet_until = 0.0
        self._paused = False
        self._parsing = False
        self._in_flight: dict[int, asyncio.Future[int]] = {}
        self._unsent: deque[tuple[str, bytes, bool, asyncio.Future[int]]] = deque()
        self._batched: dict[int, tuple[_Batch, int]] = {}
        self._send_quota = 65_000
        self._has_room = Signal()
        self._answers: dict[int, asyncio.Future[list[int]]] = {}

    # -- the link ------------------------------------------------------------------------------

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        self.session_present = bool(flags.session_present)
        # 3.2.2.3.2: the broker's own value, where it does not grant ours.
        self.session_expiry = getattr(properties, "SessionExpiryInterval", None)
        # 3.2.2.3.3: more unacknowledged PUBLISHes than this and the broker disconnects us.
        self._send_quota = getattr(properties, "ReceiveMaximum", self._send_quota)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        cause = None if reason_code == 0 else ConnectionLost(f"connection lost: {reason_code}")
        self._end(cause)

    def give_up(self) -> None:
        """Nobody waits for this attempt any more: hang up, and ask nobody for its outcome."""
        self._client._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        if self._connected.done() and not self._connected.cancelled():
            self._connected.exception()

    def _end(self, cause: BaseException | None) -> None:
        """Whatever ended the connection: answer everybody who waits."""
        if not self._connected.done():
            self._connected.set_exception(
                aiomqtt.MqttError(str(cause or "the broker closed the connection"))
            )
            self._connected.exception()  # a connect that timed out no longer waits for it
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        if self.lost.done():
            return
        self.lost.set_result(cause)
        answer = cause or ConnectionLost("the connection was closed")
        unsent = (waiting[3] for waiting in self._unsent)
        futures: Iterable[asyncio.Future[Any]] = itertools.chain(
            self._in_flight.values(), unsent, self._answers.values()
        )
        for future in futures:
            if not future.done():
                future.set_exception(answer)
                future.exception()  # nobody may be waiting, and that is no error
        for batch, _ in self._batched.values():
            batch.end()
        self._in_flight.clear()
        self._batched.clear()
        self._unsent.clear()
        self._answers.clear()
        self._has_room.fire()

    def _break(self, cause: BaseException) -> None:
        # The cause goes first: paho would only report its own number for it.
        self._end(cause)
        self._client._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)

    def _on_socket_open(self, client: Any, userdata: Any, sock: socket.socket | None) -> None:
        def start() -> None:
            if self._client.socket() is sock and sock is not None:
                _send_small_packets_at_once(sock.fileno())
                self._loop.add_reader(sock.fileno(), self._readable)
                self._misc_task = self._loop.create_task(self._misc_loop(), name="mqtt-keep-alive")

        self._loop.call_soon_threadsafe(start)

    def _on_socket_register_write(
        self, client: Any, userdata: Any, sock: socket.socket | None
    ) -> None:
        def start() -> None:
            if self._client.socket() is sock and sock is not None:
                self._loop.add_writer(sock.fileno(), self._writable)

        self._loop.call_soon_threadsafe(start)

    def _on_socket_close(self, client: Any, userdata: Any, sock: Any) -> None:
        # Our writer is added a turn later than paho asks for it, so paho may have taken it back
        # already: left with the loop, it would spoil the next socket of the same number.
        if sock.fileno() >= 0:
            self._loop.remove_writer(sock.fileno())
        super()._on_socket_close(client, userdata, sock)

    async def _misc_loop(self) -> None:
        # paho pings when nothing was sent for keep_alive; the broker waits 1.5 times that.
        client = self._client
        while client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            await asyncio.sleep(max(0.2, self.keep_alive / 4))
            if self._paused:
                # The PINGRESP may lie behind what we do not read: silence says nothing now.
                client._last_bytes_received = time.monotonic()
                client._ping_t = 0.0

    # -- reading -------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            self._read()
        except BlockingIOError:
            return
        except (OSError, codec.MalformedPacket) as error:
            self._break(ConnectionLost(f"connection lost: {error}"))

    def _read(self) -> None:
        client = self._client
        while not self._paused and not self.lost.done():
            data = client._sock_recv(_READ_SIZE)
            if not data:
                raise ConnectionResetError("the broker closed the connection")
            client._last_bytes_received = time.monotonic()
            self._in += data
            self._parse()
            pending = getattr(client.socket(), "pending", None)
            if pending is None or not pending():
                return

    def _parse(self) -> None:
        """Handle every complete packet; stops where `on_message` pauses the connection."""
        if self._parsing:
            return
        self._parsing = True
        buffer, at = self._in, 0
        try:
            while at < len(buffer) and not self._paused and not self.lost.done():
                body = codec.split(buffer, at)
                if body is None:
                    break
                first, at = buffer[at], body[1]
                self._handle(first, *body)
        finally:
            del buffer[:at]
            self._parsing = False

    def _handle(self, first: int, start: int, end: int) -> None:
        buffer = self._in
        if codec.is_publish(first):
            topic, payload, qos, packet_id = codec.decode_publish(
                buffer, first, start, end, mqtt5=self.mqtt5
            )
            dup, retain = codec.flags(first)
            if self.on_message is not None:
                self.on_message(
                    Message(topic, payload, qos=qos, retain=retain, dup=dup, packet_id=packet_id)
                )
        elif first == codec.PUBACK:
            if end - start < 2:
                raise codec.MalformedPacket("a PUBACK without a packet id")
            packet_id = int.from_bytes(buffer[start : start + 2], "big")
            self._acknowledged(packet_id, buffer[start + 2] if end - start > 2 else 0)
        else:
            self._leave_to_paho(first, bytes(buffer[start:end]))

    def _leave_to_paho(self, first: int, body: bytes) -> None:
        client = self._client
        client._in_packet = {
            "command": first,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        rc = client._packet_handle()
        client._in_packet["command"] = 0
        if rc > 0:
            client._loop_rc_handle(rc)

    def pause(self) -> None:
        """Stop reading and parsing."""
        self._paused = True
        sock = self._client.socket()
        if sock is not None and sock.fileno() >= 0:
            self._loop.remove_reader(sock.fileno())

    def resume(self) -> None:
        """Parse what is here, then read again."""
        if not self._paused or self.lost.done():
            return
        self._paused = False
        self._loop.call_soon(self._resumed)

    def _resumed(self) -> None:
        sock = self._client.socket()
        if self._paused or self.lost.done() or sock is None:
            return
        try:
            self._parse()
            if not self._paused:
                self._loop.add_reader(sock.fileno(), self._readable)
                if getattr(sock, "pending", None) is not None:
                    self._readable()  # TLS may hold bytes that no selector sees
        except codec.MalformedPacket as error:
            self._break(ConnectionLost(f"connection lost: {error}"))

    # -- writing -------------------------------------------------------------------------------

    def send(self, packet: bytes) -> None:
        """Write with everything else of this turn of the loop: one system call for many.

        The first packet after a silence goes out at once: a lone job does not wait for a turn.
        """
        self._out.append(packet)
        if self._flushing:
            return
        now = self._loop.time()
        if now > self._quiet_until:
            self.flush()
        else:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Hand to the socket what this turn of the loop brought."""
        self._flushing = False
        self._quiet_until = self._loop.time() + _SILENCE
        if not self._out or self.lost.done():
            self._out.clear()
            return
        data = b"".join(self._out)
        self._out.clear()
        if type(self._client._sock) is socket.socket and not self._client._out_packet:
            data = self._sent_at_once(data)
            if not data:
                return
        for at in range(0, len(data), _WRITE_SIZE):
            chunk = data[at : at + _WRITE_SIZE]
            # Command and QoS only tell paho that no callback belongs to these bytes.
            self._client._out_packet.append(
                {
                    "command": codec.PUBACK,
                    "mid": 0,
                    "qos": 1,
                    "pos": 0,
                    "to_process": len(chunk),
                    "packet": chunk,
                    "info": None,
                }
            )
        self._writable()

    def _sent_at_once(self, data: bytes) -> bytes:
        """Write to a plain socket that nothing waits for, past paho's queue; what is left."""
        client = self._client
        try:
            sent = client._sock_send(data)
        except BlockingIOError:
            return data
        except OSError as error:
            self._break(ConnectionLost(f"connection lost: {error}"))
            return b""
        client._last_msg_out = time.monotonic()
        return data[sent:] if sent < len(data) else b""

    def _writable(self) -> None:
        try:
            self._client.loop_write()
        except OSError as error:
            self._break(ConnectionLost(f"connection lost: {error}"))

    def publish_soon(
        self, topic: str, payload: bytes, qos: int, *, retain: bool
    ) -> asyncio.Future[int]:
        """Queue a PUBLISH; the future is the PUBACK's reason."""
        future: asyncio.Future[int] = self._loop.create_future()
        if self.lost.done():
            future.set_exception(self.lost.result() or ConnectionLost("the connection was closed"))
            future.exception()
        elif qos == 0:
            self._send_publish(topic, payload, 0, retain, 0)
            future.set_result(0)
        elif self._unacknowledged() < self._send_quota:
            self._send_tracked(topic, payload, retain, future)
        else:
            self._unsent.append((topic, payload, retain, future))
        return future

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> list[int | None]:
        """Publish in order; one future for all, and what fits into the window in one go."""
        batch = _Batch(len(messages), self._loop.create_future())
        at = 0
        while at < len(messages) and not self.lost.done():
            window = min(_WINDOW, self._send_quota)
            room = window - self._load()
            if room <= 0:
                await self._has_room.wait()
                continue
            upto = min(len(messages), at + min(room, _AT_ONCE))
            for index in range(at, upto):
                topic, payload = messages[index]
                packet_id = self._next_packet_id()
                self._batched[packet_id] = (batch, index)
                self._send_publish(topic, payload, 1, False, packet_id)
            at = upto
            if at < len(messages):
                self.flush()
        if messages and not self.lost.done():
            await batch.done
        return batch.reasons

    def _next_packet_id(self) -> int:
        packet_id = self._client._mid_generate()
        while (
            packet_id in self._batched or packet_id in self._in_flight or packet_id in self._answers
        ):
            packet_id = self._client._mid_generate()
        return packet_id

    def _send_tracked(
        self, topic: str, payload: bytes, retain: bool, future: asyncio.Future[int]
    ) -> None:
        packet_id = self._next_packet_id()
        self._in_flight[packet_id] = future
        self._send_publish(topic, payload, 1, retain, packet_id)

    def _send_publish(
        self, topic: str, payload: bytes, qos: int, retain: bool, packet_id: int
    ) -> None:
        self.send(
            codec.encode_publish(
                topic, payload, qos=qos, retain=retain, packet_id=packet_id, mqtt5=self.mqtt5
            )
        )

    def _acknowledged(self, packet_id: int, reason: int) -> None:
        batched = self._batched.pop(packet_id, None)
        if batched is not None:
            batched[0].acknowledged(batched[1], reason)
        else:
            future = self._in_flight.pop(packet_id, None)
            if future is not None and not future.done():
                future.set_result(reason)
        if self._unsent and self._unacknowledged() < self._send_quota:
            self._send_tracked(*self._unsent.popleft())
        if self._load() <= min(_WINDOW, self._send_quota) // 2:
            self._has_room.fire()

    def _unacknowledged(self) -> int:
        return len(self._in_flight) + len(self._batched)

    def _load(self) -> int:
        return len(self._in_flight) + len(self._batched) + len(self._unsent)

    async def room(self) -> None:
        """Wait until fewer messages are in flight than the window allows."""
        if self._load() >= min(_WINDOW, self._send_quota) and not self.lost.done():
            await self._has_room.wait()

    # -- subscriptions -------------------------------------------------------------------------

    def _on_subscribe(
        self, client: Any, userdata: Any, mid: int, reason_codes: Any, properties: Any = None
    ) -> None:
        self._answer(mid, [int(code.value) for code in reason_codes])

    def _on_unsubscribe(
        self, client: Any, userdata: Any, mid: int, reason_codes: Any, properties: Any = None
    ) -> None:
        self._answer(mid, [])

    def _answer(self, mid: int, reasons: list[int]) -> None:
        future = self._answers.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(reasons)

    async def subscribe_all(self, filters: tuple[str, ...], qos: int) -> list[int]:
        """SUBSCRIBE (3.8) to all filters in one packet."""
        if self.mqtt5:
            sent = self._client.subscribe([(name, SubscribeOptions(qos)) for name in filters])
        else:
            sent = self._client.subscribe([(name, qos) for name in filters])
        return await self._ask(sent)

    async def unsubscribe_all(self, filters: tuple[str, ...]) -> None:
        """UNSUBSCRIBE (3.10) from all filters in one packet."""
        await self._ask(self._client.unsubscribe(list(filters)))

    async def _ask(self, sent: tuple[MQTTErrorCode, int | None]) -> list[int]:
        code, mid = sent
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise ConnectionLost(f"connection lost: {code!s}")
        future: asyncio.Future[list[int]] = self._loop.create_future()
        self._answers[mid] = future
        return await future

    # -- the end -------------------------------------------------------------------------------

    async def leave(self, *, end_session: bool) -> None:
        """DISCONNECT (3.14), behind everything that was written before."""
        if self.lost.done():
            return
        self.flush()
        self.on_message = None
        self.resume()  # what comes stays in the session; the end is behind it
        properties = None
        if end_session and self.mqtt5:
            properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0
        self._client.disconnect(properties=properties)
        try:
            async with asyncio.timeout(5):
                await asyncio.shield(self.lost)
        except TimeoutError:
            self._break(ConnectionLost("the broker did not take the DISCONNECT"))


class AioConnection:
    """A `Connection` over aiomqtt; see `routeq_mqtt.transport.seam`."""

    def __init__(self, client: _Client, transport: AioTransport, options: ConnectOptions) -> None:
        self._client = client
        self._transport = transport
        self._options = options
        self.mqtt5 = client.mqtt5
        self.session_present = client.session_present
        self.session_expiry = client.session_expiry
        self.lost = client.lost
        self.publish_many = client.publish_many
        self.flush = client.flush
        self.room = client.room
        self.pause = client.pause
        self.resume = client.resume

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> asyncio.Future[int]:
        """Send a message; the future is the PUBACK's reason."""
        return self._client.publish_soon(topic, payload, qos, retain=retain)

    async def subscribe(self, *filters: str, qos: int = 1) -> list[int]:
        """Subscribe to all filters at once."""
        return await self._client.subscribe_all(filters, qos)

    async def unsubscribe(self, *filters: str) -> None:
        """Unsubscribe from all filters at once."""
        await self._client.unsubscribe_all(filters)

    def acknowledge(self, message: Message) -> None:
        """Send the PUBACK for a QoS 1 message of this connection."""
        if message.qos:
            self._client.send(codec.encode_puback(message.packet_id))

    async def close(self, *, end_session: bool = False) -> None:
        """DISCONNECT; on MQTT 3.1.1 a session ends by one more connect with a clean one."""
        await self._client.leave(end_session=end_session)
        if end_session and not self.mqtt5 and self._options.persistent:
            clean = ConnectOptions(self._options.client_id, persistent=False)
            await (await self._transport.connect(clean, lambda message: None)).close()


class AioTransport:
    """A `Transport` over aiomqtt.

    Args:
        address: where the broker is.
        connect_timeout: seconds until an attempt to connect is given up; default 5.

    Raises:
        ConfigurationError: a certificate's file cannot be used.
    """

    def __init__(self, address: BrokerAddress, *, connect_timeout: float = 5.0) -> None:
        self.address = address
        self.connect_timeout = connect_timeout
        tls_context(address)  # what is wrong with its files shows now, and not at some reconnect
        self._mqtt5: bool | None = {"5": True, "3.1.1": False, "auto": None}[address.protocol]

    def without_credentials(self) -> AioTransport:
        """The same broker, as one comes to it who has neither password nor certificate."""
        nobody = replace(self.address, username=None, password=None, cert_file=None, key_file=None)
        return AioTransport(nobody, connect_timeout=self.connect_timeout)

    async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
        """Connect; with protocol "auto" MQTT 5 first, and 3.1.1 where the broker refuses it.

        Raises:
            ConnectionFailed: the broker was not reached in time, or refused; says why.
        """
        if self._mqtt5 is not None:
            return await self._connect(options, on_message, mqtt5=self._mqtt5)
        try:
            connection = await self._connect(options, on_message, mqtt5=True)
        except _VersionRefused:
            connection = await self._connect(options, on_message, mqtt5=False)
        self._mqtt5 = connection.mqtt5
        return connection

    async def _connect(
        self, options: ConnectOptions, on_message: OnMessage, *, mqtt5: bool
    ) -> Connection:
        try:
            client = _Client(self.address, options, mqtt5=mqtt5)
        except ConfigurationError as error:  # a certificate that is just being renewed
            raise ConnectionFailed(str(error)) from None
        client.on_message = on_message
        try:
            async with asyncio.timeout(self.connect_timeout):
                await client.__aenter__()
        except MqttConnectError as error:
            raise self._refusal(error, mqtt5=mqtt5) from None
        except aiomqtt.MqttError as error:
            mend = mends.not_reached(str(error), self.address)
            raise ConnectionFailed(
                f"cannot reach a broker at {self.address}: {error}; {mend}"
            ) from None
        except asyncio.CancelledError:
            client.give_up()
            raise
        except TimeoutError:
            client.give_up()
            raise ConnectionFailed(
                f"the broker at {self.address} did not answer within {self.connect_timeout} s"
            ) from None
        return AioConnection(client, self, options)

    def _refusal(self, error: MqttConnectError, *, mqtt5: bool) -> ConnectionFailed:
        reason: int = getattr(error.rc, "value", 0)
        mend = mends.refused(reason, self.address)
        said = f"the broker at {self.address} refused: {error}{'; ' if mend else ''}{mend}"
        unsupported = mqtt5 and reason in mends.UNSUPPORTED_VERSION
        return _VersionRefused(said) if unsupported else ConnectionFailed(said)


class _VersionRefused(ConnectionFailed):
    """The broker does not speak MQTT 5 (3.2.2.2, reason 0x84)."""


def _send_small_packets_at_once(fileno: int) -> None:
    """Without it the kernel holds a small packet back until the last one is acknowledged: 40 ms."""
    # A duplicate, since paho's wrapper of a websocket has no options.
    with socket.socket(fileno=os.dup(fileno)) as same:
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _connect_properties(options: ConnectOptions) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    if options.persistent:
        properties.SessionExpiryInterval = options.session_expiry
    if options.receive_maximum is not None:
        properties.ReceiveMaximum = options.receive_maximum
    return properties


def _will(options: ConnectOptions) -> aiomqtt.Will | None:
    will = options.will
    return None if will is None else aiomqtt.Will(will.topic, will.payload, will.qos, will.retain)
