"""Everything that a job process has started, wherever it is: found by a mark in its environment.

A process group loses a process that leaves it (`setsid`, a double fork); the environment that a
process was started with stays readable as long as it lives (proc(5), /proc/PID/environ). Where
there is no /proc, only the group is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "ROUTEQ_JOB_PROCESS"

_ROUNDS = 10
"""Looks at all processes: one that is killed may have forked a moment before."""

_PROC = Path("/proc")


def kill_marked(mark: str) -> None:
    """Kill every process of this user whose environment holds a mark, but the present one."""
    entry = f"{MARK}={mark}".encode()
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        found = set(_marked(entry)) - killed
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        killed |= found


def _marked(entry: bytes) -> Iterator[int]:
    own = os.getpid()
    try:
        names = os.listdir(_PROC)  # noqa: PTH208 - some thousand names, no need for objects
    except OSError:
        return
    for name in names:
        if name.isdigit() and int(name) != own:
            with contextlib.suppress(OSError):
                if entry in (_PROC / name / "environ").read_bytes().split(b"\0"):
                    yield int(name)
