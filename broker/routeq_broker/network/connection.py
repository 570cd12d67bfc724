"""One network connection: bytes to packets and back, keep-alive, and nothing of what they mean."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol, cast

from routeq_broker.access.doorkeeper import common_name
from routeq_broker.errors import ProtocolError
from routeq_broker.protocol import acks, framing, publish, reasons
from routeq_broker.protocol.connect import LARGEST
from routeq_broker.text import shown

if TYPE_CHECKING:
    from routeq_broker.clock import Clock
    from routeq_broker.counters import Counters
    from routeq_broker.protocol.connect import Will
    from routeq_broker.routing.session import Session
    from routeq_broker.storage.entry import Entry

log = logging.getLogger(__name__)

_CONNECT_WITHIN = 10.0
_HIGH_WATER = 1 << 20
_FULL = 1 << 18
"""Bytes that are handed to the socket in one turn of the loop at most; then others have theirs."""

_PACKETS_AT_ONCE = 256
"""Packets of one connection that are handled before the others have their turn."""

_UNREAD_ANSWERS = 4 << 20
"""Bytes of answers to a client that does not read before it is given up."""

_ALIAS = 3
"""Bytes of a topic alias among the properties."""

_UNANSWERED = 8 << 20
"""Bytes of publishes that wait for the database before a client is no longer read."""


class PacketHandler(Protocol):
    """What packets mean; see `routeq_broker.clients.handler`."""

    def opened(self, connection: Connection) -> None:
        """A connection was made."""
        ...

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""
        ...

    def unblocked(self, connection: Connection) -> None:
        """A connection takes more again."""
        ...

    def packet(
        self, connection: Connection, buffer: bytearray, first: int, start: int, end: int
    ) -> None:
        """One packet, complete; may raise `ProtocolError`."""
        ...


class Connection(asyncio.Protocol):
    """One network connection: turns bytes into packets and back, and keeps it alive.

    Args:
        handler: what the packets mean.
        largest: bytes that a packet may have, once the client has logged in.
        counters: of all connections.
        clock: tells how much of a message's expiry is left.

    Attributes:
        mqtt5: the client speaks MQTT 5; else 3.1.1.
        polite: it has said DISCONNECT, and wants no Last Will.
        refused: a reason to answer its CONNECT with, whatever that says.
        largest_out: bytes that a packet to the client may have; None: any number.
        unanswered: publishes that have no acknowledgement yet.
        aliases_in: topic aliases that the client has set.
        alias_maximum: topic aliases that the client accepts.
    """

    def __init__(
        self, handler: PacketHandler, *, largest: int, counters: Counters, clock: Clock
    ) -> None:
        self.session: Session | None = None
        self.mqtt5 = False
        self.polite = False
        self.refused: int | None = None
        self.will: Will | None = None
        self.inflight = 65_535
        self.largest_out: int | None = None
        self.unanswered = 0
        self.aliases_in: dict[int, str] = {}
        self.alias_maximum = 0
        self.peer = ""
        self.address = ""
        self.certified: str | None = None
        self._handler = handler
        self._largest = largest
        self._counters = counters
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._in = bytearray()
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._flushing = False
        self._blocked = False
        self._was_full = False
        self._unread = 0
        self._held_back = 0
        self._holding = False
        self._reading = True
        self._draining = False
        self._handling = False
        self._closing = False
        self._aliases_out: dict[str, int] = {}
        self._heard = self._loop.time()
        self._silence = 0.0
        self._watch: asyncio.TimerHandle | None = None

    # -- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come; all of its CONNECT must be here soon."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) and peer else "unix"
        self.peer = f"{self.address}:{peer[1]}" if isinstance(peer, tuple) and peer else "unix"
        self.certified = common_name(transport.get_extra_info("peercert"))
        self._counters.connections += 1
        self._watch = self._loop.call_later(_CONNECT_WITHIN, self._never_connected)
        self._handler.opened(self)

    def data_received(self, data: bytes) -> None:
        """Handle every packet that is complete."""
        self._heard = self._loop.time()
        self._counters.bytes_received += len(data)
        if self.closed:
            return
        self._in += data
        if not self._draining and not self._holding:
            self._handle()

    def _handle(self) -> None:
        """Handle packets, a bounded number before others have their turn."""
        self._draining, self._handling = False, True
        at = number = 0
        buffer = self._in
        try:
            while at < len(buffer) and not self.closed and not self._holding:
                if number >= _PACKETS_AT_ONCE:
                    self._draining = True
                    self._loop.call_soon(self._handle)
                    break
                body = self._split(buffer, at)
                if body is None:
                    break
                first, at = buffer[at], body[1]
                number += 1
                self._handler.packet(self, buffer, first, *body)
        except ProtocolError as error:
            log.warning("client=%s peer=%s error=%s", self.client_id, self.peer, error)
            self.close(error.code)
        finally:
            self._handling = False
        self._counters.packets_received += number
        if self.closed:
            buffer.clear()  # what follows a DISCONNECT or a refused CONNECT is not carried out
        else:
            del buffer[:at]
        self._set_reading()

    def _split(self, buffer: bytearray, at: int) -> tuple[int, int] | None:
        if self.session is not None:
            return framing.split(buffer, at, self._largest)
        if buffer[at] >> 4 != framing.CONNECT:
            code = reasons.PROTOCOL_ERROR
            raise ProtocolError("the first packet is not a CONNECT [MQTT-3.1.0-1]", code)
        return framing.split(buffer, at, min(LARGEST, self._largest))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._transport = None
        self._stop_watching()
        self._handler.closed(self)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is given."""
        self._blocked = self._was_full = True
        self._unread = 0

    def resume_writing(self) -> None:
        """It has caught up."""
        self._blocked = False
        self._unblock()

    # -- reading -------------------------------------------------------------------------------

    def hold(self) -> None:
        """Handle no more packets until `proceed`: its login is being checked."""
        self._holding = True
        self._set_reading()

    def proceed(self) -> None:
        """Handle packets again."""
        self._holding = False
        if not (self.closed or self._draining or self._handling):
            self._handle()

    def hold_back(self, size: int) -> None:
        """A publish of this many bytes waits for the database; negative: no longer."""
        before = self._held_back > _UNANSWERED
        self._held_back += size
        if before != (self._held_back > _UNANSWERED):
            self._set_reading()

    def _set_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        reading = not (self._draining or self._holding or self._held_back > _UNANSWERED)
        if reading == self._reading:
            return
        self._reading = reading
        self._heard = self._loop.time()
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # -- for the handler -----------------------------------------------------------------------

    @property
    def client_id(self) -> str:
        """Of the session, once there is one; safe for a log line."""
        return shown(self.session.client_id) if self.session is not None else "?"

    @property
    def closed(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._closing or self._transport is None or self._transport.is_closing()

    @property
    def full(self) -> bool:
        """Whether the socket takes no more messages now; `unblocked` is called afterwards."""
        if self._blocked or self._out_bytes >= _FULL:
            self._was_full = True
            return True
        return False

    def keep_alive(self, seconds: int) -> None:
        """Give the client up after one and a half times its keep-alive [MQTT-3.1.2-22]."""
        self._stop_watching()
        self._silence = 1.5 * seconds
        self._watch_silence()

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _never_connected(self) -> None:
        log.info("peer=%s sent no CONNECT within %d s, closing", self.peer, _CONNECT_WITHIN)
        self.abort()

    def _watch_silence(self) -> None:
        self._watch = None
        if not self._silence or self._transport is None:
            return
        left = self._heard + self._silence - self._loop.time()
        if not self._reading:
            left = self._silence  # it is we who do not listen
        if left > 0:
            self._watch = self._loop.call_later(left, self._watch_silence)
            return
        log.info("client=%s is silent, closing", self.client_id)
        if self.mqtt5 and not self._blocked:
            self._write_disconnect(reasons.KEEP_ALIVE_TIMEOUT)
            self.flush()
        self.abort()

    # -- writing -------------------------------------------------------------------------------

    def fits(self, entry: Entry, more: int = 0) -> bool:
        """Whether the client accepts a packet of that size [MQTT-3.1.2-24].

        Args:
            entry: the message.
            more: bytes of properties that come on top.
        """
        return self.largest_out is None or entry.wire_size(more) <= self.largest_out

    def _accepts(self, packet: bytes) -> bool:
        return self.largest_out is None or len(packet) <= self.largest_out

    def deliver(self, entry: Entry) -> None:
        """Send a PUBLISH."""
        topic = entry.topic
        encoded: bytes | None = None
        if self.mqtt5:
            encoded = b""
            if entry.properties or entry.ids or entry.expires is not None:
                encoded = entry.encoded(self._clock.monotonic())
            if self.alias_maximum and self.fits(entry, _ALIAS):
                topic, encoded = self._aliased(topic, encoded)
        self._counters.delivered += 1
        self._write(
            publish.encode(
                topic,
                entry.payload,
                qos=entry.qos,
                dup=entry.dup and entry.qos > 0,
                retain=entry.retain,
                mid=entry.mid,
                encoded=encoded,
            )
        )

    def _aliased(self, topic: str, encoded: bytes) -> tuple[str, bytes]:
        alias = self._aliases_out.get(topic)
        if alias is not None:
            return "", publish.topic_alias(alias) + encoded
        if len(self._aliases_out) >= self.alias_maximum:
            return topic, encoded
        alias = self._aliases_out[topic] = len(self._aliases_out) + 1
        return topic, publish.topic_alias(alias) + encoded

    def release(self, mid: int) -> None:
        """Send a PUBREL."""
        self.send(acks.encode(framing.PUBREL, mid))

    def send(self, packet: bytes) -> None:
        """Send an answer; a client that never reads them, or accepts no such size, is given up."""
        if not self._accepts(packet):
            if not self.closed:
                log.warning(
                    "client=%s accepts packets of bytes=%s only, an answer has bytes=%d, closing",
                    self.client_id, self.largest_out, len(packet),
                )  # fmt: skip
            self.close(reasons.PACKET_TOO_LARGE)
            return
        if self._blocked:
            self._unread += len(packet)
            if self._unread > _UNREAD_ANSWERS:
                log.warning("client=%s does not read its answers, closing", self.client_id)
                self.abort()
                return
        self._write(packet)

    def _write_disconnect(self, reason: int) -> None:
        packet = acks.disconnect(reason)
        if self._accepts(packet):
            self._write(packet)

    def _write(self, packet: bytes) -> None:
        """Write with everything else of this turn of the loop."""
        self._out.append(packet)
        self._out_bytes += len(packet)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_and_go_on)

    def _flush_and_go_on(self) -> None:
        self.flush()
        self._unblock()

    def _unblock(self) -> None:
        if self._was_full and not self._blocked:
            self._was_full = False
            self._handler.unblocked(self)

    def flush(self) -> None:
        """Hand to the socket what this turn of the loop brought."""
        self._flushing = False
        out, self._out = self._out, []
        size, self._out_bytes = self._out_bytes, 0
        if out and self._transport is not None and not self._transport.is_closing():
            self._counters.packets_sent += len(out)
            self._counters.bytes_sent += size
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def close(self, reason: int | None = None) -> None:
        """Send what is to be sent, and close.

        Args:
            reason: told to a client of MQTT 5 that has connected.
        """
        if self._closing:
            return
        if reason is not None and self.mqtt5 and self.session is not None:
            self._write_disconnect(reason)
        self.flush()
        self._closing = True
        if self._transport is not None:
            self._transport.close()
            self._stop_watching()
            self._watch = self._loop.call_later(_CONNECT_WITHIN, self.abort)

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()
