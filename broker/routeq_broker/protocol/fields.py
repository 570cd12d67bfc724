"""The types of data that packets are made of (MQTT 5, section 1.5)."""

from __future__ import annotations

from functools import lru_cache

from routeq_broker.errors import ProtocolError

LARGEST_VARINT = 268_435_455
_CUT_OFF = "a packet ends inside a field"


class Reader:
    """Reads the fields of one packet's body, and never past its end.

    Every method raises `ProtocolError` where the body ends too early or a value is malformed.

    Args:
        body: everything behind the fixed header.
    """

    __slots__ = ("at", "body", "end")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0
        self.end = len(body)

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return self.end - self.at

    def take(self, size: int) -> bytes:
        """The next bytes."""
        start, self.at = self.at, self.at + size
        if self.at > self.end:
            raise ProtocolError(_CUT_OFF)
        return self.body[start : self.at]

    def number(self, size: int) -> int:
        """An integer of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def varint(self) -> int:
        """A Variable Byte Integer (1.5.5); one that is longer than needed is malformed."""
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 127) << shift
            if byte < 128:
                if byte == 0 and shift:
                    raise ProtocolError("a length is longer than needed [MQTT-1.5.5-1]")
                return value
            shift += 7
            if shift > 21:
                raise ProtocolError("a length takes more than four bytes")

    def binary(self) -> bytes:
        """Binary Data with its length (1.5.6)."""
        return self.take(self.number(2))

    def text(self) -> str:
        """A UTF-8 Encoded String (1.5.4)."""
        return decoded(self.binary())

    def done(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise ProtocolError(f"a packet has {self.left} bytes too many")


def decoded(raw: bytes) -> str:
    """The text of a UTF-8 string.

    Raises:
        ProtocolError: it is not UTF-8, or holds U+0000 [MQTT-1.5.4-1, MQTT-1.5.4-2].
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise ProtocolError("a text is not UTF-8 [MQTT-1.5.4-1]") from None
    if "\0" in text:
        raise ProtocolError("a text contains U+0000 [MQTT-1.5.4-2]")
    return text


def varint(value: int) -> bytes:
    """A Variable Byte Integer.

    Raises:
        ValueError: it is negative, or more than 268,435,455.
    """
    if 0 <= value < 128:
        return bytes((value,))
    if not 0 <= value <= LARGEST_VARINT:
        raise ValueError(f"{value} does not fit into a Variable Byte Integer")
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def binary(data: bytes) -> bytes:
    """Binary Data with its length.

    Raises:
        ValueError: it has more than 65,535 bytes.
    """
    if len(data) > 65_535:
        raise ValueError(f"a field of {len(data)} bytes is too long, at most 65535 are possible")
    return len(data).to_bytes(2, "big") + data


@lru_cache(maxsize=1024)
def text(value: str) -> bytes:
    """A UTF-8 Encoded String with its length."""
    return binary(value.encode())
