"""Time-ordered unique ids."""

from __future__ import annotations

import os
import time

_last = 0


def new_id() -> str:
    """A new id: 32 hexadecimal digits, milliseconds first (the layout of UUID version 7, RFC 9562).

    Their milliseconds never step back within one process, also when its clock does.
    """
    global _last  # noqa: PLW0603 - the one thing that must outlive a call
    stamp = max(time.time_ns() // 1_000_000, _last)
    _last = stamp
    tail = int.from_bytes(os.urandom(10), "big")
    high = tail >> 62 & 0x0FFF
    low = tail & 0x3FFF_FFFF_FFFF_FFFF
    return f"{stamp << 16 | 0x7000 | high:016x}{0x8000_0000_0000_0000 | low:016x}"
