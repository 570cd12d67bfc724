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
import logging
import os
import socket
import struct
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt import MQTTException
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from routeq_mqtt.errors import ConfigurationError, ConnectionFailed, ConnectionLost
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.transport import codec, hints
from routeq_mqtt.transport.base import (
    PACKET_TOO_LARGE,
    Connection,
    ConnectOptions,
    Message,
    OnMessage,
)
from routeq_mqtt.transport.tls import tls_context
from routeq_mqtt.transport.watch import Watch, bytes_on_the_way

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.transport.address import BrokerAddress

log: logging.Logger = logging.getLogger(__name__)

_READ_SIZE = 1 << 16
_WRITE_SIZE = 1 << 18
_WINDOW = 4096
_SILENCE = 0.001
"""Seconds without a write after which the next packet does not wait for others to join it."""

_LARGEST = 268_435_455 + 5
"""Bytes of a packet that MQTT can say the length of (1.5.5)."""

_BYTES_OF_A_CHARACTER = 4
_HEADER = 16
"""Bytes of a PUBLISH beside its topic and payload, at most."""

_PAHO_CANNOT_READ = (MQTTException, struct.error, LookupError, ValueError)
"""What paho raises on bytes that are no MQTT, for example those of a web server."""

_SURE = 3
"""Connects at which MQTT 3.1.1 worked and MQTT 5 did not, after which the latter is not tried."""

_FILTERS = 8
"""Filters of one SUBSCRIBE: AWS IoT takes no more."""

_FAILURE = 0x80
"""The only refusal of MQTT 3.1.1, and the one without a reason of MQTT 5 (3.9.3)."""

_BY_RULE = 1.0
"""Seconds in which a broker refuses a filter by a rule; what took longer has failed for now."""

_TRIES = 5
"""SUBSCRIBEs for a filter that fails."""

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
            identifier=f"{address.client_prefix}{options.client_id}",
            username=address.username,
            password=address.password,
            protocol=aiomqtt.ProtocolVersion.V5 if mqtt5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if mqtt5 else not options.persistent,
            clean_start=not options.persistent if mqtt5 else MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=_keep_alive(address, options),
            properties=_connect_properties(options) if mqtt5 else None,
            will=_will(options),
            transport="tcp" if address.websocket_path is None else "websockets",
            websocket_path=address.websocket_path,
            tls_context=tls_context(address),
        )
        self.keep_alive: int = _keep_alive(address, options)
        self.mqtt5 = mqtt5
        self.session_present: bool = False
        self.session_expiry: int | None = None
        self.max_qos: int = 2
        self.opened = False
        self._given_up = False
        self.lost: asyncio.Future[BaseException | None] = self._loop.create_future()
        self.on_message: OnMessage | None = None
        self._tasks = Tasks()
        self._in = bytearray()
        self._out: list[bytes] = []
        self._watch = Watch(self)
        self._flushing = False
        self._quiet_until = 0.0
        self._paused = False
        self._parsing = False
        self._in_flight: dict[int, asyncio.Future[int]] = {}
        self._unsent: deque[tuple[str, bytes, bool, asyncio.Future[int]]] = deque()
        self._batched: dict[int, tuple[_Batch, int]] = {}
        self._send_quota = 65_000
        self._max_packet = _LARGEST
        self._has_room = Notifier()
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
        # 3.2.2.3.4: a PUBLISH of a higher QoS and the broker disconnects us.
        self.max_qos = getattr(properties, "MaximumQoS", self.max_qos)
        # 3.2.2.3.6: a larger packet and the broker disconnects us.
        self._max_packet = getattr(properties, "MaximumPacketSize", self._max_packet)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        cause = None if reason_code == 0 else ConnectionLost(f"connection lost: {reason_code}")
        self._end(cause)

    def give_up(self) -> None:
        """Abort this attempt to connect: hang up, and ignore its outcome.

        aiomqtt connects in a thread that cannot be stopped: its socket may come later than this.
        """
        self._given_up = True
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
        self._watch.end()
        self.lost.set_result(cause)
        answer = cause or ConnectionLost("the connection was closed")
        unsent = (waiting[3] for waiting in self._unsent)
        futures: Iterable[asyncio.Future[Any]] = itertools.chain(
            self._in_flight.values(), unsent, self._answers.values()
        )
        for future in futures:
            if not future.done():
                future.set_exception(answer)
                future.exception()  # nobody may be waiting, and that is not an error
        for batch, _ in self._batched.values():
            batch.end()
        self._in_flight.clear()
        self._batched.clear()
        self._unsent.clear()
        self._answers.clear()
        self._has_room.notify()

    def _break(self, cause: BaseException) -> None:
        # The cause goes first: paho would only report its own number for it.
        self._end(cause)
        self._client._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)

    def _cannot_go_on(self, error: BaseException) -> None:
        self._break(ConnectionLost(f"connection lost: {error!r}"))

    def _on_socket_open(self, client: Any, userdata: Any, sock: socket.socket | None) -> None:
        def start() -> None:
            if self._given_up:
                self._client._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
            elif self._client.socket() is sock and sock is not None:
                self.opened = True
                _send_small_packets_at_once(sock.fileno())
                self._loop.add_reader(sock.fileno(), self._readable)
                self._misc_task = self._tasks.start(
                    self._misc_loop(), "mqtt-keep-alive", failed=self._cannot_go_on
                )

        try:
            self._loop.call_soon_threadsafe(start)
        except RuntimeError:  # the loop was closed while the thread connected
            if sock is not None:
                sock.close()
            raise

    def _on_socket_register_write(
        self, client: Any, userdata: Any, sock: socket.socket | None
    ) -> None:
        def start() -> None:
            # paho may have written everything by now, and taken the writer back before it was
            # there: a writer that nobody takes back wakes the loop at every turn.
            if self._client.socket() is sock and sock is not None and self._client.want_write():
                self._loop.add_writer(sock.fileno(), self._writable)

        self._loop.call_soon_threadsafe(start)

    def _on_socket_close(self, client: Any, userdata: Any, sock: Any) -> None:
        # Our writer is added a turn later than paho asks for it, so paho may have taken it back
        # already: left with the loop, it would spoil the next socket of the same number.
        if self._loop.is_closed():
            return  # nothing of it is watched any more
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
        if not self._connected.done() and first != codec.CONNACK:
            raise codec.MalformedPacket(hints.NO_MQTT)
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
        try:
            rc = client._packet_handle()
        except _PAHO_CANNOT_READ as error:
            raise codec.MalformedPacket(f"{hints.NO_MQTT}: {error}") from None
        finally:
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

    def send(self, packet: bytes, *, alone: bool = False) -> None:
        """Write with everything else of this turn of the loop: one system call for many.

        The first packet after a silence goes out at once, and one that is `alone`, with no other
        that waits for its answer: a lone job does not wait for a turn.
        """
        self._out.append(packet)
        if self._flushing and not alone:
            return
        if alone or self._loop.time() > self._quiet_until:
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
        elif self._is_too_large(topic, payload):
            future.set_result(PACKET_TOO_LARGE)
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
                if self._is_too_large(topic, payload):
                    batch.acknowledged(index, PACKET_TOO_LARGE)
                    continue
                packet_id = self._next_packet_id()
                self._batched[packet_id] = (batch, index)
                self._watch.begin()
                self._send_publish(topic, payload, 1, False, packet_id)
            at = upto
            if at < len(messages):
                self.flush()
        if messages and not self.lost.done():
            await batch.done
        return batch.reasons

    def _is_too_large(self, topic: str, payload: bytes) -> bool:
        # Most are far from it, and cost one comparison.
        if len(payload) + len(topic) * _BYTES_OF_A_CHARACTER + _HEADER < self._max_packet:
            return False
        rest = len(topic.encode()) + len(payload) + (5 if self.mqtt5 else 4)
        return 1 + len(codec.encode_length(rest)) + rest > self._max_packet

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
        self._watch.begin()
        alone = len(self._in_flight) == 1 and not self._batched
        self._send_publish(topic, payload, 1, retain, packet_id, alone=alone)

    def _send_publish(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        packet_id: int,
        *,
        alone: bool = False,
    ) -> None:
        packet = codec.encode_publish(
            topic, payload, qos=qos, retain=retain, packet_id=packet_id, mqtt5=self.mqtt5
        )
        self.send(packet, alone=alone)

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
            self._has_room.notify()

    # -- see `Watched` -------------------------------------------------------------------------

    def waits(self) -> bool:
        """Whether an answer is to come, and would be read."""
        owed = self._unacknowledged() > 0 or bool(self._answers)
        return owed and not self._paused and not self.lost.done()

    def subscribes(self) -> bool:
        """Whether a SUBACK (or UNSUBACK) is to come."""
        return bool(self._answers)

    def heard_at(self) -> float:
        """When something was last read (`time.monotonic`)."""
        at: float = self._client._last_bytes_received
        return at

    def unsent(self) -> int:
        """Bytes that have yet to reach the broker, as far as that is known."""
        sock = self._client.socket()
        ours = sum(packet["to_process"] for packet in self._client._out_packet)
        return ours + (0 if sock is None or sock.fileno() < 0 else bytes_on_the_way(sock.fileno()))

    def ping(self) -> None:
        """PINGREQ (3.12)."""
        self.send(codec.PINGREQ)

    def is_dead(self) -> None:
        """Nothing came back: a NAT or firewall may have dropped the connection."""
        self._break(ConnectionLost("connection lost: the broker does not answer"))

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

    async def subscribe_all(
        self, filters: tuple[str, ...], qos: int, *, retained_if_new: bool
    ) -> list[int]:
        """SUBSCRIBE (3.8) to all filters, in packets that every broker takes.

        One that fails for the moment, and is not refused by a rule, is tried again: a node of a
        NATS cluster answers so while the others elect a leader.
        """
        loop = self._loop
        granted = [_FAILURE] * len(filters)
        for _ in range(_TRIES):
            failed = [at for at, code in enumerate(granted) if code == _FAILURE]
            since = loop.time()
            for first in range(0, len(failed), _FILTERS):
                some = failed[first : first + _FILTERS]
                names = tuple(filters[at] for at in some)
                codes = await self._subscribe(names, qos, retained_if_new=retained_if_new)
                for at, code in zip(some, codes, strict=True):
                    granted[at] = code
            if _FAILURE not in granted or loop.time() - since < _BY_RULE:
                break
        return granted

    async def _subscribe(
        self, filters: tuple[str, ...], qos: int, *, retained_if_new: bool
    ) -> list[int]:
        if self.mqtt5:
            options = SubscribeOptions(qos, retainHandling=1 if retained_if_new else 0)
            sent = self._client.subscribe([(name, options) for name in filters])
        else:
            sent = self._client.subscribe([(name, qos) for name in filters])
        return await self._ask(sent)

    async def unsubscribe_all(self, filters: tuple[str, ...]) -> None:
        """UNSUBSCRIBE (3.10) from all filters."""
        for first in range(0, len(filters), _FILTERS):
            await self._ask(self._client.unsubscribe(list(filters[first : first + _FILTERS])))

    async def _ask(self, sent: tuple[MQTTErrorCode, int | None]) -> list[int]:
        code, mid = sent
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise ConnectionLost(f"connection lost: {code!s}")
        future: asyncio.Future[list[int]] = self._loop.create_future()
        self._answers[mid] = future
        self._watch.begin()
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
    """A `Connection` over aiomqtt; see `routeq_mqtt.transport.base`."""

    def __init__(self, client: _Client, transport: AioTransport, options: ConnectOptions) -> None:
        self._client = client
        self._transport = transport
        self._options = options
        self.mqtt5: bool = client.mqtt5
        self.session_present: bool = client.session_present
        self.session_expiry: int | None = client.session_expiry
        self.lost: asyncio.Future[BaseException | None] = client.lost
        self.publish_many: Final = client.publish_many
        self.flush: Final = client.flush
        self.room: Final = client.room
        self.pause: Final = client.pause
        self.resume: Final = client.resume

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> asyncio.Future[int]:
        """Send a message; the future is the PUBACK's reason."""
        return self._client.publish_soon(topic, payload, qos, retain=retain)

    async def subscribe(
        self, *filters: str, qos: int = 1, retained_if_new: bool = False
    ) -> list[int]:
        """Subscribe to all filters at once."""
        return await self._client.subscribe_all(filters, qos, retained_if_new=retained_if_new)

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
        self._hung_up = 0
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
        except _ClosedEarly as error:
            connection = await self._connect(options, on_message, mqtt5=False)
            log.info("speaking MQTT 3.1.1, to MQTT 5 it hung up: %s", error)
            self._hung_up += 1
            if self._hung_up < _SURE:
                return connection  # it may have been its restart
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
            fix = hints.not_reached(str(error), self.address)
            kind = _ClosedEarly if client.opened else ConnectionFailed
            raise kind(f"cannot reach a broker at {self.address}: {error}; {fix}") from None
        except asyncio.CancelledError:
            client.give_up()
            raise
        except TimeoutError:
            client.give_up()
            raise ConnectionFailed(
                f"the broker at {self.address} did not answer within {self.connect_timeout} s; "
                f"{hints.SILENT}"
            ) from None
        if client.max_qos == 0:
            await client.leave(end_session=False)
            raise ConnectionFailed(
                f"the broker at {self.address} takes messages of QoS 0 only; {hints.QOS_1}"
            )
        return AioConnection(client, self, options)

    def _refusal(self, error: MqttConnectError, *, mqtt5: bool) -> ConnectionFailed:
        reason: int = getattr(error.rc, "value", 0)
        fix = hints.refused(reason, self.address)
        said = f"the broker at {self.address} refused: {error}{'; ' if fix else ''}{fix}"
        unsupported = mqtt5 and reason in hints.UNSUPPORTED_VERSION
        return _VersionRefused(said) if unsupported else ConnectionFailed(said)


class _ClosedEarly(ConnectionFailed):
    """It closed the connection without a CONNACK, as RabbitMQ 3.10 does to MQTT 5."""


class _VersionRefused(ConnectionFailed):
    """The broker does not speak MQTT 5 (3.2.2.2, reason 0x84)."""


def _keep_alive(address: BrokerAddress, options: ConnectOptions) -> int:
    return min(options.keep_alive, address.keep_alive or options.keep_alive)


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
