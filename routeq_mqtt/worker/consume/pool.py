"""Runs held jobs in a fixed number of slots, earlier queues strictly first."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from heapq import heappop, heappush
from math import inf

from routeq_mqtt.boundary import is_a
from routeq_mqtt.eager import InlineFuture
from routeq_mqtt.tasks import Tasks, uncancel
from routeq_mqtt.worker.delivery import Delivery

log: logging.Logger = logging.getLogger(__name__)

Run = Callable[[Delivery], Awaitable[None] | None]

_TURN = 0.005
"""Seconds after which a slot that never had to wait lets the event loop have its turn."""

_AHEAD = 0.02
"""Seconds of work, as measured, that may wait here where jobs are short."""

_AVERAGE_OF = 16
"""Jobs over which the run time is averaged, later ones counting more."""


class Pool:
    """Slots that take the next waiting job, of the earliest queue that has one.

    A slot is one task for the life of the worker: a job costs no task of its own. The first job of
    a turn of the event loop starts in that very turn, inside of `add`; those that come with it
    wait for the next one, so that a batch of them does not keep the loop from everything else.

    Args:
        queues: in order of priority.
        concurrency: how many jobs run at once.
        run: runs one job and settles it; must not raise. What it returns is awaited, where the
            job did not end at once.
        most: how many jobs to start at all; None: no limit.
        grace: seconds that a cancelled job has to end.
        ahead: see `soon`; default 0.

    Attributes:
        ended: jobs that have ended here.
        run_time: seconds that the last jobs took, on average; before the first: infinite.
        lost: slots whose coroutine ignored its cancellation, and that still run it.
        when_idle: called when a slot finds nothing to do.
        when_ignored: called with a job that has not ended `grace` seconds after `stop`.
        when_exhausted: called when as many slots are lost as there are.
        when_broken: called with a job whose run ended with an exception, and with that.
    """

    def __init__(
        self,
        queues: Sequence[str],
        concurrency: int,
        run: Run,
        *,
        most: int | None = None,
        grace: float = 10.0,
        ahead: int = 0,
    ) -> None:
        self.running: dict[Delivery, asyncio.Task[None]] = {}
        self.ended: int = 0
        self.run_time: float = inf
        self.lost: set[asyncio.Task[None]] = set()
        self.when_idle: Callable[[], None] | None = None
        self.when_ignored: Callable[[Delivery], None] | None = None
        self.when_exhausted: Callable[[], None] | None = None
        self.when_broken: Callable[[Delivery, BaseException], None] | None = None
        self._grace = grace
        self._ahead = ahead
        self._concurrency = concurrency
        self._waiting: dict[str, deque[Delivery]] = {queue: deque() for queue in queues}
        self._rank = {queue: rank for rank, queue in enumerate(queues)}
        self._names = list(queues)
        self._paused: set[str] = set()
        self._ready: list[int] = []  # a heap: ranks of queues that may have something to start
        self._number = self._startable = 0  # of jobs that wait, and of those that may start
        self._run = run
        self._idle: list[InlineFuture] = []
        self._started_one = False
        self._closed = False
        self._left = most
        self._slots = Tasks()
        for number in range(concurrency):
            self._slots.keep(self._slot, f"slot-{number}")
        self._quiet: asyncio.Future[None] | None = None

    def add(self, held: Delivery) -> None:
        """Let a job wait for a slot."""
        queue = held.queue
        waiting = self._waiting[queue]
        waiting.append(held)
        self._number += 1
        if queue not in self._paused:
            self._startable += 1
            if len(waiting) == 1:
                heappush(self._ready, self._rank[queue])
        while self._idle:
            slot = self._idle.pop()  # the last one that worked: its memory is the warmest
            if slot.done():
                continue
            if self._started_one:
                slot.soon()
            else:
                self._started_one = True
                slot.now()
                asyncio.get_running_loop().call_soon(self._next_turn)
            return

    def _next_turn(self) -> None:
        self._started_one = False

    def waiting(self, queue: str) -> int:
        """Jobs of a queue that wait for a slot."""
        return len(self._waiting[queue])

    @property
    def free(self) -> int:
        """Slots without a job, and without one that is about to take them."""
        return max(0, self._concurrency - len(self.running) - self._startable)

    @property
    def soon(self) -> int:
        """Jobs that all slots get through in 0.02 s, going by the last ones; `ahead` at most."""
        if self.run_time * self._ahead <= _AHEAD * self._concurrency:
            return self._ahead
        return int(_AHEAD * self._concurrency / self.run_time)

    @property
    def closed(self) -> bool:
        """Nothing more is started."""
        return self._closed

    @property
    def full(self) -> bool:
        """Every slot runs a job."""
        return len(self.running) >= self._concurrency

    def take_back(self, queue: str) -> list[Delivery]:
        """Take out what waits of a queue, for others to run; nothing of one that is paused."""
        waiting = self._waiting.get(queue)
        if not waiting or self._closed or queue in self._paused:
            return []
        taken = list(waiting)
        waiting.clear()
        self._number -= len(taken)
        self._startable -= len(taken)
        return taken

    @property
    def empty(self) -> bool:
        """Nothing runs and nothing waits."""
        return not self.running and not self._number

    def drop(self, held: Delivery) -> None:
        """The job is no longer ours: cancel it, or take it out of the queue."""
        held.dropped = True
        if not self.stop(held):
            self.withdraw(held)

    def stop(self, held: Delivery) -> bool:
        """Cancel a job; False if it does not run."""
        task = self.running.get(held)
        if task is None:
            return False
        held.stopping = True
        task.cancel()
        asyncio.get_running_loop().call_later(self._grace, self._still_there, held, task)
        return True

    def _still_there(self, held: Delivery, task: asyncio.Task[None]) -> None:
        in_thread = held.limit is not None and held.limit.in_thread
        if self.running.get(held) is task and not in_thread and self.when_ignored is not None:
            self.when_ignored(held)

    def replace_slot(self, held: Delivery) -> None:
        """The coroutine of a job ignores its cancellation: its slot is lost, a new one is made."""
        task = self.running.pop(held)
        self.ended += 1
        self.lost.add(task)
        task.add_done_callback(self.lost.discard)
        log.error(
            "id=%s queue=%s ignores its cancellation: its slot is replaced, it still runs; "
            "lost=%d of %d",
            held.job_id,
            held.queue,
            len(self.lost),
            self._concurrency,
        )
        if not self._closed:
            self._slots.keep(self._slot, task.get_name())
        self._notice()
        if len(self.lost) >= self._concurrency and self.when_exhausted is not None:
            self.when_exhausted()

    def withdraw(self, held: Delivery) -> bool:
        """Take a job out of the queue; False if it does not wait there."""
        try:
            self._waiting[held.queue].remove(held)
        except ValueError:
            return False
        self._number -= 1
        if held.queue not in self._paused:
            self._startable -= 1
        return True

    def pause(self, queue: str) -> None:
        """Start no more jobs of a queue until `resume`."""
        if queue in self._waiting and queue not in self._paused:
            self._paused.add(queue)
            self._startable -= len(self._waiting[queue])

    def resume(self, queue: str) -> None:
        """Start jobs of a queue again."""
        if queue in self._paused:
            self._paused.discard(queue)
            self._startable += len(self._waiting[queue])
            heappush(self._ready, self._rank[queue])
        for slot in self._idle:
            slot.soon()
        self._idle.clear()

    def close(self) -> None:
        """Start nothing more."""
        self._closed = True
        self._notice()

    async def finish(self, timeout: float) -> None:
        """Wait until what runs has ended, `timeout` seconds at most; then cancel it, uncharged."""
        self.close()
        if self.running:
            self._quiet = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._quiet}, timeout=timeout)
        for held in list(self.running):
            self.drop(held)
        self._slots.cancel()
        if self._slots:
            await asyncio.wait(set(self._slots), timeout=1.0)

    def _next(self) -> Delivery | None:
        if self._closed or self._left == 0:
            return None
        ready = self._ready
        while ready:
            queue = self._names[ready[0]]
            waiting = self._waiting[queue]
            if not waiting or queue in self._paused:
                heappop(ready)  # it comes back with its next job, or when it is resumed
                continue
            if self._left is not None:
                self._left -= 1
            self._number -= 1
            self._startable -= 1
            return waiting.popleft()
        return None

    async def _slot(self) -> None:
        loop = asyncio.get_running_loop()
        turn_ends = 0.0
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a slot is a task
        while True:
            held = self._next()
            if held is None:
                await self._idle_until_nudged(loop, task)
                turn_ends = loop.time() + _TURN
                continue
            self.running[held] = task
            held.stopping = False
            began = loop.time()
            try:
                rest = self._run(held)
                if rest is not None:
                    await rest
            except BaseException as error:  # noqa: BLE001 - nothing ends a slot but the worker
                self._survive(task, held, error)
            finally:
                replaced = self.running.get(held) is not task
                if not replaced:
                    del self.running[held]
                    self.ended += 1
                    self._notice()
            if replaced:
                return
            now = loop.time()
            self._took(now - began)
            if now > turn_ends:
                await self._let_others(task)
                turn_ends = loop.time() + _TURN

    def _took(self, seconds: float) -> None:
        average = self.run_time
        if average == inf:
            self.run_time = seconds
        else:
            self.run_time = average + (seconds - average) / _AVERAGE_OF

    async def _idle_until_nudged(
        self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]
    ) -> None:
        idle = InlineFuture(loop)
        self._idle.append(idle)
        if self.when_idle is not None:
            self.when_idle()
        try:
            await idle
        except asyncio.CancelledError:
            if self._closed:
                raise
            uncancel(task)  # what a job has left behind

    async def _let_others(self, task: asyncio.Task[None]) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._closed:
                raise
            uncancel(task)

    def _survive(self, task: asyncio.Task[None], held: Delivery, error: BaseException) -> None:
        """What came out of a run must not end its slot, nor leave its job without an outcome."""
        if is_a(error, asyncio.CancelledError):
            if self._closed:
                raise error
            uncancel(task)
        elif is_a(error, GeneratorExit) and self._closed:
            raise error
        elif self.when_broken is not None and self.running.get(held) is task:
            self.when_broken(held, error)

    def _notice(self) -> None:
        if self._quiet is not None and not self.running and not self._quiet.done():
            self._quiet.set_result(None)
