"""What a job process says to its worker, in frames."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from routeq_mqtt.wire.packing import pack

if TYPE_CHECKING:
    from collections.abc import Callable

_TELL_EVERY = 0.1
"""Seconds between two words of progress: a job may have a million of them."""


def frame(value: object) -> bytes:
    """As it travels.

    Raises:
        PackingError: it cannot.
    """
    packed = pack(value)
    return len(packed).to_bytes(4, "big") + packed


class ProgressPipe:
    """What a job says of its progress: the latest word, a few times a second.

    Args:
        send: takes a frame.
    """

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send
        self._sending = threading.Lock()
        self._news = threading.Event()
        self._latest: bytes | None = None
        self._run = 0
        self._teller: threading.Thread | None = None

    def ready(self) -> None:
        """The process is there."""
        with self._sending:
            self._send(frame({"ready": True}))

    def begin(self) -> None:
        """The job begins: its time runs from here on."""
        with self._sending:
            self._send(frame({"begins": True}))

    def reporter(self) -> Callable[[float, float | None, str], None]:
        """What one job calls, in any thread; when it has ended, that does nothing any more."""
        self._run = run = self._run + 1

        def report(done: float, total: float | None, note: str) -> None:
            word = frame({"progress": [done, total, note]})
            if run != self._run:
                return
            self._latest = word
            self._news.set()
            if self._teller is None:
                self._teller = threading.Thread(target=self._tell, daemon=True)
                self._teller.start()

        return report

    def last(self, answer: bytes) -> None:
        """The job has ended: its last word, then the answer."""
        self._run += 1
        self._flush(answer)

    def _tell(self) -> None:
        while self._news.wait():
            self._news.clear()
            with contextlib.suppress(OSError):  # the worker is gone, and so are we
                self._flush(b"")
            time.sleep(_TELL_EVERY)

    def _flush(self, more: bytes) -> None:
        with self._sending:
            word, self._latest = self._latest or b"", None
            if word or more:
                self._send(word + more)
