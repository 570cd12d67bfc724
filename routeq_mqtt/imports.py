"""Imports at first use that no fork cuts in two.

A process that forks while another of its threads imports a module leaves the child with that
module's lock held by a thread that it does not have: its own import of it waits for ever. So a fork
waits until an import that is made here has ended. Every late import of what a producer uses is.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 30.0
"""Seconds that a fork waits: far more than an import takes. It must not wait for ever where the
thread that forks is in the middle of an import itself, of a module that the other one needs."""

_importing = threading.RLock()
_forking = threading.local()


@contextmanager
def first_import() -> Iterator[None]:
    """Around an import inside a function; forks of this process wait for its end."""
    with _importing:
        yield


class LateModule(ModuleType):
    """Stands for a module until something of it is needed.

    Args:
        name: the module.
    """

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        with first_import():
            module = import_module(self.__name__)
        value = getattr(module, name)
        setattr(self, name, value)
        return value


def _wait() -> None:
    _forking.waited = _importing.acquire(timeout=_LONGEST)


def _go_on() -> None:
    if getattr(_forking, "waited", False):  # what forks in C may leave out the first hook
        _forking.waited = False
        _importing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait, after_in_parent=_go_on, after_in_child=_go_on)
