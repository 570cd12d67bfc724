"""MQTT in binary frames of a websocket (MQTT 5, chapter 6; RFC 6455).

Between a socket and a `Connection`, which sees a transport like any other.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from routeq_broker.network.frames import BINARY, CLOSE, PING, PONG, FrameReader, WrongFrame, frame
from routeq_broker.text import shown

if TYPE_CHECKING:
    from routeq_broker.network.connection import Connection

log = logging.getLogger(__name__)

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LARGEST_REQUEST = 8_192
_PROTOCOLS = ("mqtt", "mqttv3.1")
_NORMAL = 1_000

_FRAMES_AT_ONCE = 256
"""Frames of one client that are read before the others have their turn."""

OriginCheck = Callable[[str | None, str], bool]
"""Whether pages of an origin may connect to a host; None: no browser says where it comes from."""


class _Refused(Exception):
    """A request that is not answered with a websocket; HTTP status and why."""


class Websocket(asyncio.Protocol):
    """Carries MQTT in the binary frames of one websocket.

    Args:
        connection: gets the bytes.
        allows: which origins may connect.
    """

    def __init__(self, connection: Connection, allows: OriginCheck) -> None:
        self._connection = connection
        self._allows = allows
        self._transport: asyncio.Transport | None = None
        self._framed: FramedTransport | None = None
        self._request = bytearray()
        self._frames: FrameReader | None = None
        self._ping: bytes | None = None
        self._blocked = False
        self._draining = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come; its request and its CONNECT must be here soon."""
        self._transport = cast("asyncio.Transport", transport)
        self._framed = FramedTransport(self._transport)
        self._connection.connection_made(self._framed)

    def data_received(self, data: bytes) -> None:
        """Of the request first, then of frames."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._frames is None:
            data = self._shake_hands(transport, data)
        if data and self._frames is not None:
            self._read(transport, self._frames, data)

    def _read(self, transport: asyncio.Transport, frames: FrameReader, data: bytes) -> None:
        """A bounded number of frames; what they carry goes on together."""
        pieces: list[bytes] = []
        closing, number = self._gather(frames, data, pieces)
        if pieces:
            self._connection.data_received(b"".join(pieces))
        if transport.is_closing():
            return
        if closing is not None:
            transport.write(frame(CLOSE, closing))
            transport.close()
            return
        self._answer_ping(transport)
        if number >= _FRAMES_AT_ONCE:
            self._go_on_later()

    def _gather(
        self, frames: FrameReader, data: bytes, pieces: list[bytes]
    ) -> tuple[bytes | None, int]:
        """Read frames: what to close with, None for not at all; and how many there were."""
        number = 0
        try:
            for kind, payload in frames.read(data):
                number += 1
                if kind == BINARY:
                    pieces.append(payload)
                elif kind == PING:
                    self._ping = payload
                elif kind == CLOSE:
                    return payload[:2], number
                if number >= _FRAMES_AT_ONCE:
                    break
        except WrongFrame as error:
            log.warning("peer=%s websocket error=%s", self._connection.peer, error)
            return error.code.to_bytes(2, "big"), number
        return None, number

    def _answer_ping(self, transport: asyncio.Transport) -> None:
        """Only the last of several PINGs (5.5.3), and none while the client does not read."""
        if self._ping is not None and not self._blocked:
            transport.write(frame(PONG, self._ping))
            self._ping = None

    def _go_on_later(self) -> None:
        if not self._draining:
            self._draining = True
            self._hold(True)
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._draining = False
        transport = self._transport
        if transport is not None and not transport.is_closing() and self._frames is not None:
            self._read(transport, self._frames, b"")
        if not self._draining:
            self._hold(False)

    def _hold(self, on: bool) -> None:
        if self._framed is not None:
            self._framed.hold(on)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._transport = None
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is given."""
        self._blocked = True
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._blocked = False
        if self._transport is not None and not self._transport.is_closing():
            self._answer_ping(self._transport)
        self._connection.resume_writing()

    # -- the handshake -------------------------------------------------------------------------

    def _shake_hands(self, transport: asyncio.Transport, data: bytes) -> bytes:
        """Answer the request once it is whole; what came behind it."""
        self._request += data
        head, end, rest = bytes(self._request).partition(b"\r\n\r\n")
        try:
            if len(head) > _LARGEST_REQUEST:
                raise _Refused("431 Request Header Fields Too Large", "the request is too long")
            if not end:
                return b""
            transport.write(self._accept(head))
        except _Refused as error:
            status, why = error.args
            log.warning("peer=%s websocket refused: %s", self._connection.peer, why)
            more = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\n"
            transport.write(f"HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\n\r\n".encode())
            transport.close()
            return b""
        self._request.clear()
        self._frames = FrameReader()
        return rest

    def _accept(self, head: bytes) -> bytes:
        lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise _Refused("400 Bad Request", "a header has no colon")
            key = name.strip().lower()
            headers[key] = f"{headers[key]},{value.strip()}" if key in headers else value.strip()
        self._check(lines[0], headers)
        salted = headers["sec-websocket-key"].encode() + _GUID
        accept = base64.b64encode(hashlib.sha1(salted, usedforsecurity=False).digest())
        offered = _words(headers.get("sec-websocket-protocol", ""))
        protocol = next(name for name in _PROTOCOLS if name in offered)
        return (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept.decode()}\r\n"
            f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
        ).encode()

    def _check(self, request: str, headers: dict[str, str]) -> None:
        if not (request.startswith("GET ") and request.endswith(" HTTP/1.1")):
            raise _Refused("400 Bad Request", f"not a GET of HTTP/1.1: {shown(request)}")
        if (
            "websocket" not in _words(headers.get("upgrade", "").lower())
            or "upgrade" not in _words(headers.get("connection", "").lower())
            or headers.get("sec-websocket-version") != "13"
        ):
            raise _Refused("426 Upgrade Required", "not a websocket of version 13")
        if not _is_key(headers.get("sec-websocket-key", "")):
            raise _Refused("400 Bad Request", "no Sec-WebSocket-Key")
        if not _words(headers.get("sec-websocket-protocol", "")) & set(_PROTOCOLS):
            raise _Refused("400 Bad Request", "the subprotocol mqtt is not offered [MQTT-6.0.0-3]")
        if not self._allows(headers.get("origin"), headers.get("host", "")):
            why = f"origin {shown(headers.get('origin', ''))} is not allowed, see --ws-origin"
            raise _Refused("403 Forbidden", why)


class FramedTransport(asyncio.Transport):
    """The transport that a `Connection` writes to: each write is one binary frame."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._paused = self._held = self._stopped = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """One frame."""
        self._transport.write(frame(BINARY, bytes(data)))

    def close(self) -> None:
        """Close with a closing frame."""
        if not self._transport.is_closing():
            self._transport.write(frame(CLOSE, _NORMAL.to_bytes(2, "big")))
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as asyncio
        """Of the socket."""
        return self._transport.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Of the socket."""
        self._transport.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Of the socket."""
        self._paused = True
        self._set_reading()

    def resume_reading(self) -> None:
        """Of the socket, once no frames wait to be read."""
        self._paused = False
        self._set_reading()

    def hold(self, on: bool) -> None:
        """Whether frames that came wait to be read."""
        self._held = on
        self._set_reading()

    def _set_reading(self) -> None:
        stopped = self._paused or self._held
        if stopped == self._stopped or self._transport.is_closing():
            return
        self._stopped = stopped
        if stopped:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def _words(value: str) -> set[str]:
    return {word.strip() for word in value.split(",")}


def _is_key(value: str) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
