"""SIGTERM, SIGINT and SIGHUP: the first stops gracefully, a second SIGTERM or SIGINT at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from routeq_mqtt.cli.common import FAILED
from routeq_mqtt.forks import protect_forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

log: logging.Logger = logging.getLogger(__name__)

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""A terminal that closes may send SIGHUP more than once: it never ends a process at once."""


@contextlib.contextmanager
def stopping(stop: Callable[[], None], *, within: float | None = None) -> Iterator[None]:
    """Call `stop` at the first signal, end the process at the second; handlers are restored.

    The handlers are those of `signal.signal`, not of the event loop: they run also while a job
    blocks the loop. A SIGHUP that is ignored (nohup) stays so.

    Args:
        stop: called in the event loop.
        within: seconds in which the process has to end after the first signal, or after the block;
            then it is ended with exit code 1 and an error line. None: however long it takes.
    """
    loop = asyncio.get_running_loop()
    overdue = Overdue(within)
    asked = False

    def begin(number: int) -> None:  # in the loop: a signal handler must not wait for the log
        name = signal.Signals(number).name
        log.info("signal=%s: stopping; a second SIGTERM or SIGINT ends it at once", name)
        stop()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001, RUF100
        nonlocal asked
        if asked and number != signal.SIGHUP:
            os._exit(128 + number)
        asked = True
        overdue.begin()
        loop.call_soon_threadsafe(begin, number)

    protect_forks()
    before = {
        number: signal.signal(number, handle)
        for number in STOPS
        if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP
    }
    try:
        yield
    finally:
        overdue.begin()  # what is left to do, such as closing the loop, may hang as well
        for number, handler in before.items():
            signal.signal(number, handler)


class Overdue:
    """Ends the process when it has not ended by itself in time: its event loop may be blocked.

    Args:
        seconds: after `begin`; None: never.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        # A plain lock that is released once: safe in a signal handler, as an Event is not.
        self._began = threading.Lock()
        self._began.acquire()
        if seconds is not None:
            # Made now: a signal handler must not wait for the locks that a new thread takes.
            threading.Thread(target=self._watch, name="overdue", daemon=True).start()

    def begin(self) -> None:
        """Time runs; safe in a signal handler."""
        with contextlib.suppress(RuntimeError):  # it does already
            self._began.release()

    def _watch(self) -> None:
        self._began.acquire()
        time.sleep(self._seconds or 0.0)
        line = threading.Thread(target=self._say, name="overdue-log", daemon=True)
        line.start()
        line.join(1.0)  # whoever blocks the loop may hold the lock of the log
        os._exit(FAILED)

    def _say(self) -> None:
        log.error(
            "not ended %.0f s after the signal to stop, something blocks it: ended by force; "
            "its jobs run again elsewhere",
            self._seconds,
        )


@contextlib.contextmanager
def reloading(reload: Callable[[], None]) -> Iterator[None]:
    """Inside `stopping`: SIGHUP calls `reload` instead of stopping; the handler is restored.

    In a terminal it still stops: there the signal means that the terminal has closed.
    """
    loop = asyncio.get_running_loop()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001, RUF100
        loop.call_soon_threadsafe(reload)

    if os.isatty(0) or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGHUP, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
