"""What one dispatch brings with it: its own jobs, and those that they dispatch."""

from __future__ import annotations

import threading
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.wire.envelopes.envelope import Envelope

MOST_RUNS = 1_000
"""Runs that jobs may ask for within one dispatch, before it is taken for one without an end."""


class RunQueue:
    """The queue of jobs that one dispatch on a fake bus runs, with those that they dispatch.

    Args:
        first: the jobs of the dispatch itself.
    """

    def __init__(self, first: Sequence[Envelope]) -> None:
        self._jobs = deque(first)
        self._asked = 0
        self._endless: ConfigurationError | None = None
        self._open = True
        self._lock = threading.Lock()  # a plain function dispatches from its own thread

    def add(self, jobs: Sequence[Envelope]) -> bool:
        """Add jobs; False: it is over, as for a task that outlived its job."""
        with self._lock:
            if self._open:
                self._jobs.extend(jobs)
                self._asked += len(jobs)
                if self._asked > MOST_RUNS:
                    self._endless = endless(jobs[0].job)
            return self._open

    def next(self) -> Envelope | None:
        """The next job; None: it is over.

        Raises:
            ConfigurationError: there were too many.
        """
        with self._lock:
            if self._endless is not None:
                raise self._endless
            self._open = bool(self._jobs)
            return self._jobs.popleft() if self._jobs else None

    def close(self) -> None:
        """Take no more."""
        self._open = False


running: ContextVar[RunQueue | None] = ContextVar("routeq_inline", default=None)
"""What the running job's own dispatches are added to."""


def endless(name: str) -> ConfigurationError:
    """The error for jobs that come back for ever."""
    return ConfigurationError(
        f"fake(run=True): {name} has asked for more than {MOST_RUNS} runs in one dispatch; jobs "
        "that come back without end need a delay, and time travel"
    )
