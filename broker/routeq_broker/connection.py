"""One network connection: bytes to packets and back, keep-alive, and nothing of what they mean."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from routeq_broker import packets
from routeq_broker.doorkeeper import common_name
from routeq_broker.errors import ProtocolError

if TYPE_CHECKING:
    from routeq_broker.handler import Handler
    from routeq_broker.session import Session

log = logging.getLogger(__name__)

_CONNECT_WITHIN = 10.0
_HIGH_WATER = 1 << 20


class Connection(asyncio.Protocol):
    """See the module.

    Args:
        handler: what the packets mean.
        largest: bytes that a packet may have.
    """

    def __init__(self, handler: Handler, *, largest: int) -> None:
        self.session: Session | None = None
        self.blocked = False
        self.polite = False
        self.qos2: set[int] = set()
        self.will: tuple[str, bytes, int, bool] | None = None
        self._handler = handler
        self._largest = largest
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._in = bytearray()
        self._out: list[bytes] = []
        self._flushing = False
        self._heard = self._loop.time()
        self._silence = _CONNECT_WITHIN
        self._watch: asyncio.TimerHandle | None = None
        self.peer = ""
        self.certified: str | None = None

    # -- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come; it must say CONNECT soon."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        self.peer = str(transport.get_extra_info("peername"))
        self.certified = common_name(transport.get_extra_info("peercert"))
        self._handler.opened(self)
        self._watch_silence()

    def data_received(self, data: bytes) -> None:
        """Handle every packet that is complete."""
        self._heard = self._loop.time()
        self._in += data
        at = 0
        try:
            while self._transport is not None:
                body = packets.split(self._in, at, self._largest) if at < len(self._in) else None
                if body is None:
                    break
                first, at = self._in[at], body[1]
                self._handler.packet(self, self._in, first, *body)
        except ProtocolError as error:
            log.warning("client=%s peer=%s error=%s", self.client_id, self.peer, error)
            self.close()
        del self._in[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._transport = None
        if self._watch is not None:
            self._watch.cancel()
        self._handler.closed(self)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is given."""
        self.blocked = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self.blocked = False
        self._handler.unblocked(self)

    # -- for the handler -----------------------------------------------------------------------

    @property
    def client_id(self) -> str:
        """Of the session, once there is one."""
        return self.session.client_id if self.session is not None else "?"

    @property
    def closed(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._transport is None or self._transport.is_closing()

    def keep_alive(self, seconds: int) -> None:
        """Give the client up after one and a half times its keep-alive [3.1.2-24]."""
        self._silence = 1.5 * seconds
        self._watch_silence()

    def _watch_silence(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if not self._silence or self._transport is None:
            return
        left = self._heard + self._silence - self._loop.time()
        if left <= 0:
            log.info("client=%s is silent, closing", self.client_id)
            self.abort()
        else:
            self._watch = self._loop.call_later(left, self._watch_silence)

    def send(self, packet: bytes) -> None:
        """Write with everything else of this turn of the loop."""
        self._out.append(packet)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Hand to the socket what this turn of the loop brought."""
        self._flushing = False
        out, self._out = self._out, []
        if out and self._transport is not None:
            self._transport.write(b"".join(out))

    def close(self) -> None:
        """Send what is to be sent, and close."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
