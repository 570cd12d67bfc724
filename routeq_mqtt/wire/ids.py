"""Time-ordered unique ids."""

from __future__ import annotations

import os
import time

_last = 0
_fresh: list[bytes] = []
_AHEAD = 128


def _refill() -> bytes:
    """Ask the system for many at once: it costs as much as one."""
    many = os.urandom(8 * _AHEAD)
    _fresh.extend(many[at : at + 8] for at in range(8, len(many), 8))
    return many[:8]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh.clear)


def new_id() -> str:
    """A new id: 32 hexadecimal digits in the layout of UUID version 7 (RFC 9562).

    The first 48 bits are milliseconds, the next 12 a counter, so ids of one process sort in the
    order in which they were made, also when its clock steps back. The last 62 bits are the
    system's, each used once: two threads, or a process and its fork, never share them.
    """
    global _last  # noqa: PLW0603 - the one thing that must outlive a call
    _last = stamp = max((time.time_ns() // 1_000_000) << 12, _last + 1)
    try:
        tail = int.from_bytes(_fresh.pop(), "big") >> 2
    except IndexError:
        tail = int.from_bytes(_refill(), "big") >> 2
    high = (stamp >> 12) << 16 | 0x7000 | stamp & 0x0FFF
    return f"{high << 64 | 0x8000_0000_0000_0000 | tail:032x}"


def made_at(job_id: str) -> float | None:
    """When an id was made, UTC epoch seconds; None: it was not made by `new_id`."""
    if len(job_id) != 32 or job_id[12] != "7":
        return None
    try:
        return int(job_id[:12], 16) / 1_000
    except ValueError:
        return None
