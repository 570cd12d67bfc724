"""Where msgpack has no machine code (armv7 without a wheel) the bytes are the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgpack import fallback

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.packing import pack, unpack
from tests.wire.values import envelopes, values


@contextmanager
def pure_python() -> Iterator[None]:
    """What msgpack itself takes if it finds no machine code."""

    def packb(value: object, **options: object) -> object:
        return fallback.Packer(**options).pack(value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(msgpack, "packb", packb)
        patch.setattr(msgpack, "unpackb", fallback.unpackb)
        patch.setattr(msgpack, "Unpacker", fallback.Unpacker)
        yield


def again(payload: bytes) -> bytes | None:
    """What is sent on of these bytes; None: they are refused."""
    try:
        return pack(unpack(payload))
    except UnreadableMessage:
        return None


@given(envelopes)
def test_an_envelope_has_the_same_bytes(envelope: Envelope) -> None:
    compiled = envelope.encode()
    with pure_python():
        assert envelope.encode() == compiled
        assert Envelope.decode(compiled) == envelope


@given(values, st.data())
def test_damaged_bytes_are_read_alike_or_refused_alike(value: object, data: st.DataObject) -> None:
    payload = bytearray(pack(value))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(payload), bytes(payload[:at]), bytes(payload) + b"\x00"):
        compiled = again(damaged)
        with pure_python():
            assert again(damaged) == compiled


@pytest.mark.parametrize("payload", [b"\x91" * 1_000_000, b"\xdd\xff\xff\xff\xff", b"\xa1\xff"])
def test_bytes_that_are_no_value_are_refused(payload: bytes) -> None:
    with pure_python(), pytest.raises(UnreadableMessage, match="no msgpack: "):
        unpack(payload)
