"""One held job, from its slot to the settler: started and settled only while it is surely ours."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from routeq_mqtt.begun import Begun
from routeq_mqtt.worker.outcome import Cancelled, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.wire.envelope import Envelope
    from routeq_mqtt.worker.executor import Executor
    from routeq_mqtt.worker.held import Held
    from routeq_mqtt.worker.lease import Lease
    from routeq_mqtt.worker.orders import Orders
    from routeq_mqtt.worker.progress import ProgressBoard
    from routeq_mqtt.worker.settler import Settler
    from routeq_mqtt.worker.sharing import Sharing
    from routeq_mqtt.worker.teller import Teller

_SUSPECT = 2
"""Deaths after which a job no longer runs beside others like it: they would be charged with it."""


class Runner:
    """See the module.

    Args:
        lease: whether a job is ours.
        orders: whether it was cancelled.
        executor: runs it.
        settler: takes its outcome.
        sharing: wants to know that a slot is busy.
        progress: what it says while it runs.
        teller: tells what happens to it.
        ended: called with each job that ended here.
    """

    def __init__(
        self,
        *,
        lease: Lease,
        orders: Orders,
        executor: Executor,
        settler: Settler,
        sharing: Sharing,
        progress: ProgressBoard,
        teller: Teller,
        ended: Callable[[Held, Outcome], None],
    ) -> None:
        self._lease = lease
        self._orders = orders
        self._executor = executor
        self._settler = settler
        self._sharing = sharing
        self._progress = progress
        self._teller = teller
        self._ended = ended
        self._suspects = asyncio.Lock()

    async def run(self, held: Held) -> None:
        """Run a job and hand its outcome on; does not raise."""
        if not self._lease.covers(held):
            await self._lease.until_covers(held)
        if held.envelope is not None and held.envelope.deaths >= _SUSPECT:
            async with self._suspects:
                await self._run(held)
        else:
            await self._run(held)

    async def _run(self, held: Held) -> None:
        held.started = True
        try:
            self._sharing.busy()
            outcome = await self._outcome_of(held)
            held.ended = True
            if not self._lease.covers(held):
                await self._lease.until_covers(held)
        except asyncio.CancelledError:
            if held.dropped or held.job_id not in self._orders.cancelled:
                raise
            _uncancel()
            outcome = Cancelled()
        finally:
            self._progress.over(held)
        if held.dropped:
            return
        self._teller.over(held, outcome)
        self._settler.settle(held, outcome)
        self._ended(held, outcome)

    async def _outcome_of(self, held: Held) -> Outcome:
        if held.job_id in self._orders.cancelled:
            return Cancelled()
        envelope = held.envelope
        if envelope is not None and _must_be_known(envelope):
            await self._make_known(held, envelope)
        else:
            self._teller.before_start()
        self._teller.starts(held)
        run = Begun(self._executor.execute(held))
        self._teller.started(held)
        return run.value if run.over else await run

    async def _make_known(self, held: Held, envelope: Envelope) -> None:
        """Before the first step; this may wait for a connection, and the job be ours no more."""
        if envelope.deliveries > 1:
            await self._teller.make_known()
        else:
            self._teller.before_start()
        if _unique_until_started(envelope):
            await self._settler.tell_started(held)
        if not self._lease.covers(held):
            await self._lease.until_covers(held)


def _must_be_known(envelope: Envelope) -> bool:
    """A worker may have died holding it: should we die of it too, the reaper must know."""
    return envelope.deliveries > 1 or _unique_until_started(envelope)


def _unique_until_started(envelope: Envelope) -> bool:
    return bool(envelope.options) and envelope.options.get("unique_until") == "started"


def _uncancel() -> None:
    """The running task goes on: its cancellation was meant for what it awaited."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
