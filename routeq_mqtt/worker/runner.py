"""One held job, from its slot to the settler: started and settled only while it is surely ours."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING

from routeq_mqtt.isolated import IsolatedCoroutine
from routeq_mqtt.jobs.hooks import wanted
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.tasks import Tasks, uncancel
from routeq_mqtt.worker.execute.outcome import Cancelled, Done, Outcome, Unadmitted
from routeq_mqtt.worker.quick_lane import QuickLane, Unfinished

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.worker.consume.pool import Pool
    from routeq_mqtt.worker.consume.settler import Settler
    from routeq_mqtt.worker.consume.sharing import Sharing
    from routeq_mqtt.worker.control.orders import Orders
    from routeq_mqtt.worker.delivery import Delivery
    from routeq_mqtt.worker.execute.executor import Executor
    from routeq_mqtt.worker.execute.progress import ProgressBoard
    from routeq_mqtt.worker.report.event_reporter import EventReporter
    from routeq_mqtt.worker.report.lease import Lease

_SUSPECT = 2
"""Deaths after which a job no longer runs beside others like it: they would be charged with it."""


class Runner:
    """Runs one delivery from its slot to the settler, only while the job is surely ours.

    Args:
        lease: whether a job is ours.
        orders: whether it was cancelled.
        pool: the slots.
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
        pool: Pool,
        executor: Executor,
        settler: Settler,
        sharing: Sharing,
        progress: ProgressBoard,
        teller: EventReporter,
        ended: Callable[[Delivery, Outcome], None],
    ) -> None:
        self._lease = lease
        self._orders = orders
        self._pool = pool
        self._executor = executor
        self._quick = QuickLane(executor)
        self._settler = settler
        self._sharing = sharing
        self._progress = progress
        self._teller = teller
        self._ended = ended
        self._suspect: Delivery | None = None
        self._suspect_over = Notifier()
        self._late = Tasks()
        pool.when_ignored = self._ignored
        pool.when_broken = self._broken

    def start(self, held: Delivery) -> Awaitable[None] | None:
        """Run a job as far as it goes without waiting, in the task of its slot.

        Returns:
            None: it has ended, and its outcome is handed on. Else the rest, to be awaited, which
            raises nothing but the worker's own cancellation.
        """
        orders = self._orders
        if (
            orders.recalled
            or held.job_id in orders.cancelled
            or not self._quick.takes(held)
            or not self._lease.covers(held)
        ):
            return self.run(held)
        held.started = True
        self._sharing.busy()
        self._teller.before_start()
        context = copy_context()
        if wanted("started"):
            context.run(self._teller.starts, held)
        else:
            self._teller.starts(held)
        step = context.run(self._quick.first_step, held)
        self._teller.started(held)
        if isinstance(step, Unfinished) or held.stopping or _is_cancelled():
            self._teller.goes_on()
            return self._run(held, IsolatedCoroutine(self._quick.rest(held, step), context=context))
        held.ended = True
        if not self._lease.covers(held):
            return self._run(held, IsolatedCoroutine(self._quick.rest(held, step), context=context))
        self._progress.over(held)
        held.run += 1
        self._hand_on(held, step, quick=True)
        return None

    async def run(self, held: Delivery) -> None:
        """Run a job and hand its outcome on; raises nothing but the worker's own cancellation."""
        if not self._lease.covers(held):
            await self._until_covered(held)
        if held.envelope is not None and held.envelope.deaths >= _SUSPECT:
            await self._run_alone(held)
        else:
            await self._run(held)

    async def _run_alone(self, held: Delivery) -> None:
        while self._suspect is not None:
            await self._suspect_over.wait()
        self._suspect = held
        try:
            await self._run(held)
        finally:
            self._clear(held)

    def _clear(self, held: Delivery) -> None:
        if self._suspect is held:
            self._suspect = None
            self._suspect_over.notify()

    async def _run(self, held: Delivery, begun: IsolatedCoroutine[Outcome] | None = None) -> None:
        held.started = True
        run = held.run
        try:
            if begun is None:
                self._sharing.busy()
                outcome = await self._outcome_of(held)
            else:
                outcome = await begun
            if held.run != run:
                return
            held.ended = True
            if held.stopping and not isinstance(outcome, Done):
                outcome = Cancelled()  # whatever it raised on its way out
            if not self._lease.covers(held):
                await self._until_covered(held)
        except asyncio.CancelledError:
            if held.run != run:
                return
            if held.dropped or not held.stopping:
                raise
            _uncancel()
            outcome = Cancelled()
        finally:
            if held.run == run:
                self._progress.over(held)
                held.run += 1
                held.limit = None
        if not held.dropped:
            self._hand_on(held, outcome)

    def _hand_on(self, held: Delivery, outcome: Outcome, *, quick: bool = False) -> None:
        if wanted():
            copy_context().run(self._teller.over, held, outcome, quick=quick)
        else:
            self._teller.over(held, outcome, quick=quick)
        self._settler.settle(held, outcome)
        self._ended(held, outcome)

    def _is_called_off(self, held: Delivery) -> bool:
        return held.job_id in self._orders.cancelled

    async def _until_covered(self, held: Delivery) -> None:
        """A cancellation that the worker did not ask for is left over from a job: it waits on."""
        while not self._lease.covers(held):
            try:
                await self._lease.until_covers(held)
            except asyncio.CancelledError:
                if held.stopping or self._pool.closed:
                    raise
                _uncancel()

    # -- runs that do not end as they should ---------------------------------------------------

    def _broken(self, held: Delivery, error: BaseException) -> None:
        """What should never happen, but for a `GeneratorExit` that a job gets from a future."""
        outcome = self._executor.broken(held, error)
        if not held.dropped and not held.done:
            self._settle_when_covered(held, outcome)

    def _ignored(self, held: Delivery) -> None:
        self.give_up(held, Cancelled())

    def give_up(self, held: Delivery, outcome: Outcome) -> None:
        """End a job whose coroutine does not end: what that still does counts for nothing.

        Args:
            held: runs in a slot.
            outcome: what becomes of the job; of no interest where the job is no longer ours.
        """
        held.run += 1
        held.limit = None
        self._progress.over(held)
        self._clear(held)
        self._pool.replace_slot(held)
        if not held.dropped:
            self._settle_when_covered(held, outcome)

    def _settle_when_covered(self, held: Delivery, outcome: Outcome) -> None:
        held.ended = True
        if self._lease.covers(held):
            self._hand_on(held, outcome)
            return
        self._late.start(self._hand_on_late(held, outcome), f"late-{held.job_id}")

    async def _hand_on_late(self, held: Delivery, outcome: Outcome) -> None:
        await self._lease.until_covers(held)
        if not held.dropped:
            self._hand_on(held, outcome)

    async def _outcome_of(self, held: Delivery) -> Outcome:
        if self._is_called_off(held):
            return Cancelled()
        envelope = held.envelope
        if envelope is not None and self._is_recalled(held, envelope):
            again = envelope.evolve(
                id=envelope.id or held.job_id,
                queue=held.queue,
                deliveries=envelope.deliveries + 1,
            )
            return Unadmitted(again)
        if envelope is not None and _must_be_known(envelope):
            await self._make_known(held, envelope)
        else:
            self._teller.before_start()
        # A context of its own: what a job or a hook sets is not there for the slot's next job.
        run = IsolatedCoroutine(self._executor.execute(held), lambda: self._teller.starts(held))
        self._teller.started(held)
        if run.over:
            return run.value
        self._teller.goes_on()
        return await run

    def _is_recalled(self, held: Delivery, envelope: Envelope) -> bool:
        """Whether its slot went to another job, since no worker could start it."""
        recalled = self._orders.recalled
        return bool(recalled) and f"{held.job_id}.{envelope.deliveries}" in recalled

    async def _make_known(self, held: Delivery, envelope: Envelope) -> None:
        """Before the first step; this may wait for a connection, and the job be ours no more."""
        if envelope.deliveries > 1:
            await self._teller.make_known()
        else:
            self._teller.before_start()
        if _unique_until_started(envelope):
            await self._settler.tell_started(held)
        if not self._lease.covers(held):
            await self._until_covered(held)


def _must_be_known(envelope: Envelope) -> bool:
    """A worker may have died holding it: should we die of it too, the reaper must know."""
    return envelope.deliveries > 1 or _unique_until_started(envelope)


def _unique_until_started(envelope: Envelope) -> bool:
    return bool(envelope.options) and envelope.options.get("unique_until") == "started"


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        uncancel(task)
