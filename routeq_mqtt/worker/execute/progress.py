"""What running jobs say of how far they are: the latest word of each, told at intervals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from routeq_mqtt.worker.delivery import Delivery

TELL_EVERY = 0.2
"""Seconds between two words of one worker: a job may call `progress` a million times."""

Tell = Callable[["Delivery", dict[str, Any]], None]


class ProgressBoard:
    """Collects what jobs say, also from their threads.

    Args:
        tell: hears the latest word of a job.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._latest: dict[Delivery, dict[str, Any]] = {}
        self._news: dict[Delivery, dict[str, Any]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._asked = False

    def reporter(self, held: Delivery) -> Callable[[float, float | None, str], None]:
        """What a job calls; safe in any thread."""

        def report(done: float, total: float | None, note: str) -> None:
            self._news[held] = {"done": done, "total": total, "note": note}
            if not self._asked:
                self._asked = True
                self._loop.call_soon_threadsafe(self._soon)

        return report

    def of(self, held: Delivery) -> list[Any] | None:
        """The latest word of a job, for the worker's load."""
        latest = self._latest.get(held)
        return None if latest is None else list(latest.values())

    def over(self, held: Delivery) -> None:
        """A job has ended: tell its last word now, before its outcome."""
        word = self._news.pop(held, None)
        if word is not None:
            self._tell(held, word)
        self._latest.pop(held, None)

    def _soon(self) -> None:
        if self._timer is None:
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        self._asked = False
        # One by one: a thread may say more meanwhile, and an item leaves a dict in one step.
        told = False
        for held in list(self._news):
            word = self._news.pop(held, None)
            if word is not None:
                self._latest[held] = word
                self._tell(held, word)
                told = True
        if told:
            self._asked = True
            self._timer = self._loop.call_later(TELL_EVERY, self._flush)
