"""`Transport` to a broker in memory."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionFailed, ConnectionLost
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.testing.memory import packets as mqtt
from routeq_mqtt.testing.memory.memory_network import Wire
from routeq_mqtt.transport.base import (
    PACKET_TOO_LARGE,
    Connection,
    ConnectOptions,
    Message,
    OnMessage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.testing.memory.broker import MemoryBroker

_LAST_PACKET_ID = 0xFFFF


def _ignore(message: Message) -> None:
    """What comes while we leave stays in the session."""


class MemoryConnection:
    """A `Connection` to a broker in memory; see `routeq_mqtt.transport.base`.

    Args:
        transport: what made it.
        options: how it introduces itself.
        on_message: gets every message.
        mqtt5: which protocol it asks for.
    """

    def __init__(
        self,
        transport: MemoryTransport,
        options: ConnectOptions,
        on_message: OnMessage,
        *,
        mqtt5: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.mqtt5 = mqtt5
        self.session_present: bool = False
        self.lost: asyncio.Future[BaseException | None] = loop.create_future()
        self.agreed: asyncio.Future[mqtt.Connack] = loop.create_future()
        self._transport = transport
        self._options = options
        self._on_message = on_message
        self._in_flight: dict[int, asyncio.Future[int]] = {}
        self._answers: dict[int, asyncio.Future[list[int]]] = {}
        self._has_room = Notifier()
        self._packet_id = 0
        self._max_packet: int | None = None
        context = contextvars.copy_context()
        self.wire: Wire = Wire(transport.broker.options.delay, self.end, context)
        self.wire.down.connect(self._receive, context)

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> asyncio.Future[int]:
        """Send a message; the future is the PUBACK's reason."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.lost.done():
            future.set_exception(self.lost.result() or ConnectionLost("the connection was closed"))
            future.exception()
            return future
        if self._max_packet is not None and len(payload) > self._max_packet:
            future.set_result(PACKET_TOO_LARGE)
            return future
        packet_id = 0
        if qos:
            packet_id = self._next_id()
            self._in_flight[packet_id] = future
        else:
            future.set_result(0)
        self.wire.up.send(mqtt.Publish(topic, payload, qos, retain=retain, packet_id=packet_id))
        return future

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> list[int | None]:
        """Publish in order; each PUBACK's reason, None where the connection ended first."""
        sent = []
        for topic, payload in messages:
            await self.room()
            sent.append(self.publish(topic, payload))
        reasons = await asyncio.gather(*sent, return_exceptions=True)
        return [reason if isinstance(reason, int) else None for reason in reasons]

    async def room(self) -> None:
        """Wait until fewer messages are in flight than the window allows."""
        if len(self._in_flight) >= self._transport.window and not self.lost.done():
            await self._has_room.wait()

    async def subscribe(
        self, *filters: str, qos: int = 1, retained_if_new: bool = False
    ) -> list[int]:
        """Subscribe to all filters at once."""
        packet_id, answer = self._ask()
        if_new = retained_if_new and self.mqtt5
        self.wire.up.send(mqtt.Subscribe(packet_id, filters, qos, retained_if_new=if_new))
        return await answer

    async def unsubscribe(self, *filters: str) -> None:
        """Unsubscribe from all filters at once."""
        packet_id, answer = self._ask()
        self.wire.up.send(mqtt.Unsubscribe(packet_id, filters))
        await answer

    def flush(self) -> None:
        """Nothing: what is sent is on its wire at once."""

    def acknowledge(self, message: Message) -> None:
        """Send the PUBACK for a QoS 1 message of this connection."""
        if message.qos and not self.lost.done():
            self.wire.up.send(mqtt.Puback(message.packet_id))

    def pause(self) -> None:
        """Stop reading."""
        self.wire.down.hold()

    def resume(self) -> None:
        """Read again."""
        self.wire.down.let_go()

    async def close(self, *, end_session: bool = False) -> None:
        """DISCONNECT; on MQTT 3.1.1 a session ends by one more connect with a clean one."""
        if not self.lost.done():
            self._on_message = _ignore
            self.wire.up.send(mqtt.Disconnect(end_session and self.mqtt5))
            self.resume()
            await asyncio.shield(self.lost)
        if end_session and not self.mqtt5 and self._options.persistent:
            clean = ConnectOptions(self._options.client_id)
            await (await self._transport.connect(clean, lambda message: None)).close()

    # -- inside --------------------------------------------------------------------------------

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % _LAST_PACKET_ID + 1
        while self._packet_id in self._in_flight or self._packet_id in self._answers:
            self._packet_id = self._packet_id % _LAST_PACKET_ID + 1
        return self._packet_id

    def _ask(self) -> tuple[int, asyncio.Future[list[int]]]:
        if self.lost.done():
            raise self.lost.result() or ConnectionLost("the connection was closed")
        packet_id = self._next_id()
        answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._answers[packet_id] = answer
        return packet_id, answer

    def _receive(self, packet: mqtt.Packet) -> None:
        match packet:
            case mqtt.Publish():
                self._on_message(
                    Message(
                        packet.topic,
                        packet.payload,
                        qos=packet.qos,
                        retain=packet.retain,
                        dup=packet.dup,
                        packet_id=packet.packet_id,
                    )
                )
            case mqtt.Puback():
                self._acknowledged(packet)
            case mqtt.Granted():
                answer = self._answers.pop(packet.packet_id, None)
                if answer is not None and not answer.done():
                    answer.set_result(list(packet.reasons))
            case mqtt.Connack():
                self.session_present = packet.session_present
                self._max_packet = packet.max_packet
                if not self.agreed.done():
                    self.agreed.set_result(packet)
            case mqtt.End():
                self.end(packet.cause)

    def _acknowledged(self, packet: mqtt.Puback) -> None:
        future = self._in_flight.pop(packet.packet_id, None)
        if future is not None and not future.done():
            future.set_result(packet.reason if self.mqtt5 else 0)
        if len(self._in_flight) <= self._transport.window // 2:
            self._has_room.notify()

    def end(self, cause: BaseException | None) -> None:
        """The connection is over: answer everybody who waits."""
        if self.lost.done():
            return
        self.lost.set_result(cause)
        self.wire.up.cut()
        self.wire.down.cut()
        answer = cause or ConnectionLost("the connection was closed")
        waiting: list[asyncio.Future[int] | asyncio.Future[list[int]]] = [
            *self._in_flight.values(),
            *self._answers.values(),
        ]
        for future in waiting:
            if not future.done():
                future.set_exception(answer)
                future.exception()  # nobody may be waiting, and that is not an error
        self._in_flight.clear()
        self._answers.clear()
        self._has_room.notify()
        if not self.agreed.done():
            self.agreed.set_result(mqtt.Connack(refused=str(answer)))


class MemoryTransport:
    """A `Transport` to a broker in memory.

    Args:
        broker: which one.
        mqtt5: speak MQTT 5 where the broker does; else 3.1.1.
        connect_timeout: seconds until an attempt to connect is given up; default 5.
        window: unacknowledged messages of one connection after which `room` waits.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        mqtt5: bool = True,
        connect_timeout: float = 5.0,
        window: int = 4096,
    ) -> None:
        self.broker = broker
        self.mqtt5 = mqtt5
        self.connect_timeout = connect_timeout
        self.window = window

    async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
        """Connect with the protocol that the broker speaks.

        Raises:
            ConnectionFailed: the broker does not run, does not answer in time, or refuses.
        """
        if not self.broker.running:
            await asyncio.sleep(0)
            raise ConnectionFailed("cannot reach the broker in memory: it does not run")
        connection = self.make(options, on_message)
        self.broker.accept(connection.wire)
        connection.wire.up.send(mqtt.Connect(options, connection.mqtt5))
        try:
            async with asyncio.timeout(self.connect_timeout):
                answer = await asyncio.shield(connection.agreed)
        except TimeoutError:
            self._give_up(connection)
            raise ConnectionFailed(
                f"the broker in memory did not answer within {self.connect_timeout} s"
            ) from None
        except BaseException:
            self._give_up(connection)
            raise
        if answer.refused:
            raise ConnectionFailed(f"the broker in memory refused: {answer.refused}")
        return connection

    def make(self, options: ConnectOptions, on_message: OnMessage) -> MemoryConnection:
        """A connection that is not yet open."""
        mqtt5 = self.mqtt5 and self.broker.options.mqtt5
        return MemoryConnection(self, options, on_message, mqtt5=mqtt5)

    def _give_up(self, connection: MemoryConnection) -> None:
        connection.end(ConnectionLost("the connection was given up"))
        self.broker.drop(connection.wire)
