"""Frames of a websocket (RFC 6455, section 5), read as they come: no frame is kept whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_PROTOCOL_ERROR, _UNSUPPORTED = 1_002, 1_003
_LONGEST_CONTROL = 125


class WrongFrame(Exception):
    """A client sent what is not a frame for us; `code` goes into the close frame."""

    def __init__(self, problem: str, code: int = _PROTOCOL_ERROR) -> None:
        super().__init__(problem)
        self.code = code


class FrameReader:
    """Takes bytes, gives pieces of binary messages and whole control frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._kind = CONTINUATION
        self._left = 0
        self._mask = b""
        self._in_frame = False
        self._in_message = False

    def read(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The pieces that these bytes complete: opcode (BINARY for data) and payload.

        Raises:
            WrongFrame: it is not masked, is text, has a wrong opcode or length.
        """
        self._buffer += data
        while self._in_frame or self._head():
            if self._kind >= CLOSE:
                if len(self._buffer) < self._left:
                    return
                kind = self._kind
                yield kind, self._take(self._left)
                continue
            piece = self._take(min(self._left, len(self._buffer)))
            if piece:
                yield BINARY, piece
            if self._in_frame:
                return

    def _take(self, size: int) -> bytes:
        piece = unmasked(bytes(self._buffer[:size]), self._mask)
        del self._buffer[:size]
        turn = size % 4
        self._mask = self._mask[turn:] + self._mask[:turn]
        self._left -= size
        self._in_frame = self._left > 0
        return piece

    def _head(self) -> bool:
        """Read a frame's header, once it is whole."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        length = buffer[1] & 127
        size = {126: 4, 127: 10}.get(length, 2)
        self._check(buffer[0], buffer[1], length)
        if len(buffer) < size + 4:
            return False
        if size > 2:
            length = int.from_bytes(buffer[2:size], "big")
        self._mask = bytes(buffer[size : size + 4])
        kind = buffer[0] & 15
        if kind < CLOSE:
            self._in_message = not buffer[0] & 0x80
        self._kind, self._left, self._in_frame = kind, length, True
        del buffer[: size + 4]
        return True

    def _check(self, first: int, second: int, length: int) -> None:
        kind = first & 15
        if first & 0x70 or not second & 0x80:
            raise WrongFrame("a frame with reserved bits, or without a mask")
        if kind == TEXT:
            raise WrongFrame("a text frame [MQTT-6.0.0-1]", _UNSUPPORTED)
        if kind >= CLOSE:
            if kind > PONG or length > _LONGEST_CONTROL or not first & 0x80:
                raise WrongFrame("a control frame that is malformed")
        elif kind not in {CONTINUATION, BINARY} or (kind == CONTINUATION) != self._in_message:
            raise WrongFrame("a data frame that must not come now")


def unmasked(data: bytes, mask: bytes) -> bytes:
    """A payload without its mask (5.3)."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def frame(kind: int, payload: bytes) -> bytes:
    """A whole frame of the broker's, which has no mask."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | kind, size))
    elif size < 1 << 16:
        head = bytes((0x80 | kind, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, 127)) + size.to_bytes(8, "big")
    return head + payload
