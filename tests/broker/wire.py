"""Packets as a client writes and reads them; of its own, so that it does not share our mistakes."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

TIMEOUT = 10.0

FORMAT, EXPIRY, CONTENT, RESPONSE, CORRELATION, SUB_ID, SESSION_EXPIRY = 1, 2, 3, 8, 9, 11, 17
ASSIGNED, KEEP_ALIVE, AUTH_METHOD, WANT_PROBLEM, WILL_DELAY, WANT_RESPONSE = 18, 19, 21, 23, 24, 25
RESPONSE_INFORMATION, REASON, RECEIVE_MAX, ALIAS_MAX, ALIAS, MAX_QOS = 26, 31, 33, 34, 35, 36
RETAIN_AVAILABLE, USER, MAX_PACKET = 37, 38, 39
_KINDS = {
    1: "B", 2: "I", 3: "s", 8: "s", 9: "s", 11: "v", 17: "I", 18: "s", 19: "H", 21: "s", 22: "s",
    23: "B", 24: "I", 25: "B", 26: "s", 28: "s", 31: "s", 33: "H", 34: "H", 35: "H", 36: "B",
    37: "B", 38: "p", 39: "I", 40: "B", 41: "B", 42: "B",
}  # fmt: skip


def varint(value: int) -> bytes:
    out = b""
    while True:
        value, digit = divmod(value, 128)
        out += bytes((digit | (128 if value else 0),))
        if not value:
            return out


def string(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def props(*pairs: tuple[int, Any]) -> bytes:
    out = b""
    for name, value in pairs:
        kind = _KINDS[name]
        out += bytes((name,))
        if kind == "v":
            out += varint(value)
        elif kind == "s":
            out += string(value)
        elif kind == "p":
            out += string(value[0]) + string(value[1])
        else:
            out += struct.pack(f"!{kind}", value)
    return varint(len(out)) + out


def read_props(data: bytes, at: int) -> tuple[dict[int, list[Any]], int]:
    length, at = read_varint(data, at)
    end = at + length
    found: dict[int, list[Any]] = {}
    while at < end:
        name, at = data[at], at + 1
        kind = _KINDS[name]
        value: Any
        if kind == "v":
            value, at = read_varint(data, at)
        elif kind in {"s", "p"}:
            value, at = read_string(data, at)
            if kind == "p":
                second, at = read_string(data, at)
                value = (value.decode(), second.decode())
        else:
            [value] = struct.unpack_from(f"!{kind}", data, at)
            at += struct.calcsize(f"!{kind}")
        found.setdefault(name, []).append(value)
    return found, at


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def read_string(data: bytes, at: int) -> tuple[bytes, int]:
    [length] = struct.unpack_from("!H", data, at)
    return data[at + 2 : at + 2 + length], at + 2 + length


def packet(first: int, *body: bytes) -> bytes:
    joined = b"".join(body)
    return bytes((first,)) + varint(len(joined)) + joined


def connect(
    client_id: str | bytes = "c",
    *,
    level: int = 4,
    name: str | bytes = "MQTT",
    clean: bool = True,
    keep_alive: int = 60,
    will: tuple[str | bytes, bytes] | None = None,
    will_qos: int = 0,
    will_retain: bool = False,
    will_props: tuple[tuple[int, Any], ...] = (),
    user: str | None = None,
    password: str | None = None,
    more: tuple[tuple[int, Any], ...] = (),
    flags: int | None = None,
    first: int = 0x10,
) -> bytes:
    bits = clean << 1 | (user is not None) << 7 | (password is not None) << 6
    if will is not None:
        bits |= 4 | will_qos << 3 | will_retain << 5
    body = string(name) + bytes((level, bits if flags is None else flags))
    body += struct.pack("!H", keep_alive)
    body += props(*more) if level == 5 else b""
    body += string(client_id)
    if will is not None:
        body += props(*will_props) if level == 5 else b""
        body += string(will[0]) + string(will[1])
    for one in (user, password):
        body += string(one) if one is not None else b""
    return packet(first, body)


def publish(
    topic: str | bytes,
    payload: bytes = b"",
    *,
    level: int = 4,
    qos: int = 0,
    mid: int = 1,
    retain: bool = False,
    dup: bool = False,
    more: tuple[tuple[int, Any], ...] = (),
) -> bytes:
    body = string(topic) + (struct.pack("!H", mid) if qos else b"")
    body += props(*more) if level == 5 else b""
    return packet(0x30 | dup << 3 | qos << 1 | retain, body, payload)


def subscribe(
    *filters: tuple[str | bytes, int],
    level: int = 4,
    mid: int = 1,
    more: tuple[tuple[int, Any], ...] = (),
    first: int = 0x82,
) -> bytes:
    body = struct.pack("!H", mid) + (props(*more) if level == 5 else b"")
    return packet(first, body, *(string(name) + bytes((options,)) for name, options in filters))


def unsubscribe(*filters: str, level: int = 4, mid: int = 1, first: int = 0xA2) -> bytes:
    body = struct.pack("!H", mid) + (b"\0" if level == 5 else b"")
    return packet(first, body, *(string(name) for name in filters))


def ack(kind: int, mid: int, *more: int) -> bytes:
    return packet(kind << 4 | (2 if kind == 6 else 0), struct.pack("!H", mid), bytes(more))


PUBACK, PUBREC, PUBREL, PUBCOMP = 4, 5, 6, 7
PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"


@dataclass
class Got:
    """A packet of the broker's."""

    first: int
    body: bytes
    level: int
    topic: str = ""
    payload: bytes = b""
    mid: int = 0
    codes: list[int] = field(default_factory=list)
    props: dict[int, list[Any]] = field(default_factory=dict)

    @property
    def kind(self) -> int:
        return self.first >> 4

    @property
    def size(self) -> int:
        """Bytes of the whole packet."""
        return 1 + len(varint(len(self.body))) + len(self.body)

    @property
    def qos(self) -> int:
        return self.first >> 1 & 3

    @property
    def retain(self) -> bool:
        return bool(self.first & 1)

    @property
    def dup(self) -> bool:
        return bool(self.first & 8)

    @property
    def code(self) -> int:
        return self.codes[0] if self.codes else 0


def parsed(first: int, body: bytes, level: int) -> Got:
    got = Got(first, body, level)
    if got.kind == 2:
        got.codes = [body[1]]
        if level == 5 and len(body) > 2:
            got.props, _ = read_props(body, 2)
    elif got.kind == 3:
        _parse_publish(got, body)
    elif got.kind in {9, 11}:
        [got.mid] = struct.unpack_from("!H", body)
        at = 2
        if level == 5:
            got.props, at = read_props(body, 2)
        got.codes = list(body[at:])
    elif got.kind in {4, 5, 6, 7, 14}:
        _parse_answer(got, body)
    return got


def _parse_publish(got: Got, body: bytes) -> None:
    topic, at = read_string(body, 0)
    got.topic = topic.decode()
    if got.qos:
        got.mid, at = struct.unpack_from("!H", body, at)[0], at + 2
    if got.level == 5:
        got.props, at = read_props(body, at)
    got.payload = body[at:]


def _parse_answer(got: Got, body: bytes) -> None:
    at = 0
    if got.kind != 14:
        [got.mid], at = struct.unpack_from("!H", body), 2
    got.codes = list(body[at : at + 1])
    if len(body) > at + 1:
        got.props, _ = read_props(body, at + 1)


class Wire:
    """One connection, packet by packet."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, level: int
    ) -> None:
        self.reader, self.writer, self.level = reader, writer, level

    @classmethod
    async def open(cls, port: int, level: int = 4, *, source: str = "127.0.0.1") -> Wire:
        """A connection; the broker sees it come from the address `source`."""
        streams = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        return cls(*streams, level)

    @classmethod
    async def login(cls, port: int, client_id: str = "c", level: int = 4, **options: Any) -> Wire:
        """A connection that was accepted."""
        wire = await cls.open(port, level)
        wire.send(connect(client_id, level=level, **options))
        wire.connack = await wire.get(2)
        assert wire.connack.code == 0, f"refused: {wire.connack.code:#x}"
        return wire

    connack: Got

    def send(self, *packets: bytes) -> None:
        self.writer.write(b"".join(packets))

    async def next(self, timeout: float = TIMEOUT) -> Got | None:
        """The next packet; None: the connection has ended."""
        async with asyncio.timeout(timeout):
            try:
                first = (await self.reader.readexactly(1))[0]
                length = shift = 0
                while True:
                    byte = (await self.reader.readexactly(1))[0]
                    length |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                return parsed(first, await self.reader.readexactly(length), self.level)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None

    async def get(self, kind: int) -> Got:
        """The next packet, which must be of this kind."""
        got = await self.next()
        assert got is not None, f"the connection ended, and no packet of type {kind} came"
        assert got.kind == kind, f"a packet of type {got.kind}, not {kind}: {got}"
        return got

    async def ended(self) -> int | None:
        """Wait until the broker ends the connection; the reason of a DISCONNECT before that."""
        code = None
        while True:
            got = await self.next()
            if got is None:
                return code
            assert got.kind in {2, 14}, f"the connection goes on with {got}"
            code = got.code if got.kind == 14 else code

    async def barrier(self) -> list[Got]:
        """What came until the broker has handled all that was sent."""
        self.send(PINGREQ)
        before: list[Got] = []
        while True:
            got = await self.next()
            assert got is not None, f"the connection ended after {before}"
            if got.kind == 13:
                return before
            before.append(got)

    async def subscribe(self, *filters: tuple[str, int], **more: Any) -> list[int]:
        self.send(subscribe(*filters, level=self.level, **more))
        return (await self.get(9)).codes

    async def publish(self, topic: str, payload: bytes = b"", **more: Any) -> Got:
        """A message of QoS 1, and its PUBACK."""
        self.send(publish(topic, payload, level=self.level, **{"qos": 1, "mid": 1, **more}))
        return await self.get(PUBACK)

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cut it off."""
        if self.writer.transport is not None:
            self.writer.transport.abort()
