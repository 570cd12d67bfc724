"""What a worker says of its load: which jobs run, how many wait, what was done so far."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from routeq_mqtt.presence.status import WorkerLoad, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.worker.consume.pool import Pool
    from routeq_mqtt.worker.consume.session import QueueSession
    from routeq_mqtt.worker.control.orders import Orders
    from routeq_mqtt.worker.execute.progress import ProgressBoard

_REPORT_EVERY = 0.1
_REPORT_SPACING, _REPORT_BURST = 0.05, 1.0
"""Seconds: 20 reports a second in the long run, 20 at once; a start beyond that is told a little
later, with others, and may be missed if it kills its worker within `_REPORT_EVERY`."""

_REPORTED_IDS = 1_000


class LoadReports:
    """Publishes the load, retained, from the worker's own loop: it is what knows it.

    Args:
        worker_id: whose load it is.
        sender: the connection; while it is away, nothing is said.
        clock: how long ago the last reports were.
        pool: what runs.
        sessions: what is held.
        orders: whether the worker is drained.
        progress: what running jobs say.

    Attributes:
        counters: how many jobs have ended here, and how.
    """

    def __init__(
        self,
        worker_id: str,
        sender: Sender,
        clock: Clock,
        *,
        pool: Pool,
        sessions: Sequence[QueueSession],
        orders: Orders,
        progress: ProgressBoard,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._topic = sender.topics.running(worker_id)
        self._sender = sender
        self._clock = clock
        self._pool = pool
        self._sessions = sessions
        self._orders = orders
        self._progress = progress
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._muted = False

    @property
    def rate_limited(self) -> bool:
        """There were many of late: what begins now is told a little later, with others."""
        return self._clock.monotonic() < self._due - _REPORT_BURST

    def soon(self) -> None:
        """Report a little later, with what else happens until then."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_REPORT_EVERY, self.now)

    def now(self) -> None:
        """Report, and again soon while anything runs.

        As long as there are few reports, each job is in one that left before the job began: one
        that kills its worker at once is found out at once.
        """
        self.stop()
        self._due = max(self._clock.monotonic(), self._due) + _REPORT_SPACING
        told = self._tell(self._load())
        if not told or not self._pool.empty:
            self.soon()

    def stop(self) -> None:
        """Forget the report that is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def nothing_runs(self, timeout: float) -> None:
        """Say that nothing runs here any more, and wait until the broker knows it.

        The embedded broker charges a job that returns from a session for the death of its worker
        if this report says that it ran; so a worker that stops says this before its sessions end.

        Args:
            timeout: seconds to wait at most.
        """
        self.stop()
        connection = self._sender.link.connection
        if connection is None or self._muted:
            return
        told = connection.publish(self._topic, encode(WorkerLoad()), retain=True)
        await asyncio.wait({told}, timeout=timeout)

    def leave(self, *, held: bool) -> None:
        """Say that nothing runs here any more; `held`: the sessions still hold jobs."""
        self._tell(encode(WorkerLoad()) if held else b"")

    def mute(self) -> None:
        """Say nothing from now on: the worker was fenced, and its topic is not its own any more."""
        self._muted = True

    def _tell(self, load: bytes) -> bool:
        connection = self._sender.link.connection
        if connection is None or self._muted:
            return False
        connection.publish(self._topic, load, retain=True)
        return True

    def _load(self) -> bytes:
        running = list(self._pool.running)
        active = Counter(held.queue for held in running)
        return encode(
            WorkerLoad(
                running={
                    held.job_id: held.envelope.attempt if held.envelope is not None else 1
                    for held in running[:_REPORTED_IDS]
                },
                waiting={
                    session.queue: len(session.holdings.held) - active[session.queue]
                    for session in self._sessions
                },
                active=dict(active),
                counters=dict(self.counters),
                drained=self._orders.drained,
                progress={
                    held.job_id: word
                    for held in running[:_REPORTED_IDS]
                    if (word := self._progress.of(held)) is not None
                },
            )
        )
