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
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from routeq_mqtt.outbox.place import Place

_T = TypeVar("_T")

_LONGEST = 10.0
"""Seconds that a fork waits for a commit; one that waits for another process may take longer."""


class Inherited(Protocol):
    """What a child closes.

    Attributes:
        place: where it was opened.
    """

    place: Place

    def close_inherited(self) -> None:
        """Close it, in the child."""
        ...


class _Alive(Generic[_T]):
    """Objects as long as they are used; listed while other threads add theirs."""

    def __init__(self) -> None:
        self._by_id: WeakValueDictionary[int, _T] = WeakValueDictionary()

    def add(self, one: _T) -> None:
        self._by_id[id(one)] = one

    def discard(self, one: _T) -> None:
        self._by_id.pop(id(one), None)

    def all(self) -> list[_T]:
        # In one step: iterating over a weak set fails when another thread changes it.
        return [one for ref in self._by_id.valuerefs() if (one := ref()) is not None]


class Gate:
    """Held while a thread is in SQLite: ``with gate``."""

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        _gates.add(self)

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *error: object) -> None:
        self.lock.release()


_gates: _Alive[Gate] = _Alive()
_open: _Alive[Inherited] = _Alive()
_shut: list[Gate] = []
_all_shut = False


def close_in_forks(file: Inherited) -> None:
    """Close a file in each fork of this process."""
    _open.add(file)


def leave_in_forks(file: Inherited) -> None:
    """It is closed, or must not be closed any more."""
    _open.discard(file)


def open_places() -> list[Place]:
    """Where the files that this process has open are."""
    return [file.place for file in _open.all()]


def _before() -> None:
    global _all_shut  # noqa: PLW0603 - from one hook to the other
    gates = _gates.all()
    _shut.extend(gate for gate in gates if gate.lock.acquire(timeout=_LONGEST))
    _all_shut = len(_shut) == len(gates)


def _after() -> None:
    while _shut:
        _shut.pop().lock.release()


def _in_child() -> None:
    _after()
    for file in _open.all():
        _open.discard(file)
        if _all_shut:  # else a lock of SQLite may be held, and closing would wait for ever
            with contextlib.suppress(Exception):
                file.close_inherited()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
