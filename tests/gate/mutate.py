"""Messages as nobody should send them: made of good ones, and decided by a seed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any, Literal

import msgpack

Format = Literal["msgpack", "json", "bytes"]

_DEEPEST = 8
_LARGEST = 100_000

_DEEP = "nested deeply"

_EXTREMES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 10**12,
    2**70, -(2**70), 10**300, 0.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"), float("-inf"),
    "", " ", "x", "\0", "a\0b", "\n", "\ud800", "+", "#", "a/b", "$share/x", "../..", "é" * 200,
    "x" * 201, "x" * 9_000, "1", "null", b"", b"\0", b"\xff" * 50, b"\x80", [], {}, [[]], [{}],
    {"": ""}, {"a": {"b": []}}, [None] * 1_000, ["x"] * 3, {str(n): n for n in range(300)}, _DEEP,
    253_402_300_799.0, -253_402_300_799.0, msgpack.ExtType(1, b"x"), msgpack.ExtType(99, b""),
    msgpack.ExtType(8, b"\x7f" * 40), msgpack.Timestamp(2**33, 5),
]  # fmt: skip


def encode(value: Any, form: Format) -> bytes:
    """In the format of a topic; what that format does not have is sent as near as it gets."""
    if form == "json":
        return json.dumps(value, default=repr, skipkeys=True).encode("utf-8", "surrogatepass")
    if form == "msgpack":
        return _pack(value)
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def _pack(value: Any) -> bytes:
    try:
        packed: bytes = msgpack.packb(value, default=str, unicode_errors="surrogatepass")
    except (ValueError, OverflowError):  # nested too deeply, or too large a number
        return b"\x91" * 600 + b"\xc0"
    return packed


def mutations(samples: list[Any], form: Format, seed: int) -> Iterator[bytes]:
    """Messages without end, each made of one of the samples."""
    dice = random.Random(seed)  # noqa: S311 - a seed decides all
    while True:
        sample = copy.deepcopy(dice.choice(samples))
        for _ in range(dice.choice((1, 1, 1, 2, 4))):
            sample = _changed(sample, dice)
        payload = encode(sample, _another(form, dice))
        if len(payload) <= _LARGEST:
            yield _damaged(payload, dice) if dice.random() < 0.3 else payload


def _extreme(dice: random.Random) -> Any:
    """A new one each time: it may be changed in turn."""
    chosen = copy.deepcopy(dice.choice(_EXTREMES))
    if chosen != _DEEP:
        return chosen
    deep: Any = 0
    for _ in range(600):
        deep = [deep]
    return deep


def _another(form: Format, dice: random.Random) -> Format:
    if form == "bytes" or dice.random() < 0.85:
        return form
    return "json" if form == "msgpack" else "msgpack"


def _changed(value: Any, dice: random.Random) -> Any:
    """One part replaced by something else, left out, doubled, or put under another name."""
    places = list(_places(value))
    if not places or dice.random() < 0.03:
        return _extreme(dice)
    holder, key = dice.choice(places)
    what = dice.random()
    if what < 0.7:
        holder[key] = _extreme(dice)
    elif what < 0.8:
        del holder[key]
    elif what < 0.9 and isinstance(holder, dict):
        holder[dice.choice(("", "x", "\0", "x" * 2_000, "\ud800", 7, None))] = holder.pop(key)
    else:
        holder[key] = [copy.copy(holder[key]) for _ in range(dice.choice((1, 2, 30)))]
    return value


def _places(value: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    for key in keys if depth < _DEEPEST else ():
        yield value, key
        yield from _places(value[key], depth + 1)


def _damaged(payload: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(payload) + 1)
    damage = dice.randrange(6)
    if damage == 0:
        return payload[:at]
    if damage == 1:
        return payload + dice.randbytes(dice.randrange(1, 20))
    if damage == 2:
        return dice.randbytes(dice.randrange(64))
    if damage == 3:
        return b"\xdd\xff\xff\xff\xff" * dice.randrange(1, 9) + payload
    if damage == 4:
        return payload[:at] + dice.randbytes(1) + payload[at + 1 :]
    return payload[:at] + payload[at // 2 :]
