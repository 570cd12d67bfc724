"""Forks of this process, made by users' code (`multiprocessing`, `os.fork`): never a second worker.

A fork inherits the signal handlers and the wake-up file descriptor of the event loop: a signal that
was meant for the child would stop its parent. Here the child gets back what Python has by default.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

_SIGNALS = frozenset(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)

_state = threading.local()
_forks = 0
_protected = False


def generation() -> int:
    """How many forks lie between this process and the one that imported this module."""
    return _forks


def protect_forks() -> None:
    """From now on forks of this process are children like any other.

    Call it where signal handlers are set. A child has the default handlers of SIGTERM, SIGINT and
    SIGHUP, and no wake-up file descriptor.
    """
    global _protected  # noqa: PLW0603 - the hooks cannot be taken away again
    if not _protected and hasattr(os, "register_at_fork"):
        _protected = True
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_reset)


def leave_a_fork(born: int, code: int = 0) -> None:
    """End the process if it is a fork that came back from users' code.

    After ``if os.fork() == 0: …`` without an exit it would go on as a second worker, on the same
    connections.

    Args:
        born: the `generation` in which users' code was called.
        code: the exit code of such a fork.
    """
    if _forks != born:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _count() -> None:
    global _forks  # noqa: PLW0603 - of the process
    _forks += 1


def _block() -> None:
    """A signal must not reach the child between its first step and `_reset`."""
    _state.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _state.mask)


def _reset() -> None:
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            by_default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, by_default)
    _unblock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count)
