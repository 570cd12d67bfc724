"""Does what was ordered to what this worker holds: see `Obeys`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from routeq_mqtt.worker.consume.pool import Pool
    from routeq_mqtt.worker.consume.session import QueueSession
    from routeq_mqtt.worker.delivery import Delivery


class OrderHandler:
    """Applies orders (cancel, pause, drain) to the jobs that this worker holds.

    Args:
        sessions: of all queues.
        pool: where their jobs run and wait.
        called_off: settles a job that is not to be started any more.
        give: hands one back to the scheduler.
    """

    def __init__(
        self,
        sessions: Sequence[QueueSession],
        pool: Pool,
        called_off: Callable[[Delivery], None],
        give: Callable[[Delivery], None],
    ) -> None:
        self._sessions = sessions
        self._pool = pool
        self._called_off = called_off
        self._give = give

    def cancel(self, job_id: str) -> None:
        """Stop a job that runs; settle one that waits."""
        for held in list(self._held()):
            if held.job_id == job_id and not self._pool.stop(held):
                self._call_off(held)

    def recall(self, job_id: str, deliveries: int) -> None:
        """Hand back a job that waits, up to this delivery of it; one that runs goes on."""
        for held in list(self._held()):
            envelope = held.envelope
            if envelope is None or held.job_id != job_id or envelope.deliveries > deliveries:
                continue
            if self._pool.withdraw(held):
                self._give(held)

    def open_queue(self, queue: str, *, is_open: bool, start: bool) -> None:
        """Join or leave the group of a queue; `start`: whether what is held is still started."""
        for session in self._sessions:
            if session.queue == queue:
                (session.join_group if is_open else session.leave_group)()
                (self._pool.resume if start else self._pool.pause)(queue)

    def purge(self, queue: str) -> None:
        """Settle what waits here of a queue, unstarted."""
        for held in list(self._held()):
            if held.queue == queue:
                self._call_off(held)

    def _held(self) -> Iterator[Delivery]:
        for session in self._sessions:
            yield from session.holdings.held.values()

    def _call_off(self, held: Delivery) -> None:
        if self._pool.withdraw(held):
            self._called_off(held)
