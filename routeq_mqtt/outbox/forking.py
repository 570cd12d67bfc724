"""Forks of a process with an open outbox (gunicorn with ``preload_app``, `multiprocessing`).

SQLite does not survive a fork: what another thread has locked in that moment stays locked in the
child for ever, and a second connection of the child would share the books of the inherited one, on
locks that the child does not have. So a fork waits until no thread is in SQLite, and the child
closes what it has inherited; its own outbox opens the file anew.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Protocol
from weakref import WeakSet

_LONGEST = 10.0
"""Seconds that a fork waits for a commit; one that waits for another process may take longer."""


class Inherited(Protocol):
    """What a child closes."""

    def close_inherited(self) -> None:
        """Close it, in the child."""
        ...


class Gate:
    """Held while a thread is in SQLite: ``with gate``."""

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        _gates.add(self)

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *error: object) -> None:
        self.lock.release()


_gates: WeakSet[Gate] = WeakSet()
_open: WeakSet[Inherited] = WeakSet()
_shut: list[Gate] = []
_all_shut = False


def close_in_forks(file: Inherited) -> None:
    """Close a file in each fork of this process."""
    _open.add(file)


def leave_in_forks(file: Inherited) -> None:
    """It must not be closed any more."""
    _open.discard(file)


def _before() -> None:
    global _all_shut  # noqa: PLW0603 - from one hook to the other
    gates = list(_gates)
    _shut.extend(gate for gate in gates if gate.lock.acquire(timeout=_LONGEST))
    _all_shut = len(_shut) == len(gates)


def _after() -> None:
    while _shut:
        _shut.pop().lock.release()


def _in_child() -> None:
    _after()
    if _all_shut:  # else a lock of SQLite may be held, and closing would wait for ever
        for file in list(_open):
            with contextlib.suppress(Exception):
                file.close_inherited()
    _open.clear()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
