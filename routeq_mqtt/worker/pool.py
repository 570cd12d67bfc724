"""Runs held jobs in a fixed number of slots, earlier queues strictly first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Container, Sequence

from routeq_mqtt.begun import Nudge
from routeq_mqtt.worker.held import Held

Run = Callable[[Held], Awaitable[None]]

_TURN = 0.005
"""Seconds after which a slot that never had to wait lets the event loop have its turn."""


class Pool:
    """Slots that take the next waiting job, of the earliest queue that has one.

    A slot is one task for the life of the worker: a job costs no task of its own. The first job of
    a turn of the event loop starts in that very turn, inside of `add`; those that come with it
    wait for the next one, so that a batch of them does not keep the loop from everything else.

    Args:
        queues: in order of priority.
        concurrency: how many jobs run at once.
        run: runs one job and settles it; must not raise.
        most: how many jobs to start at all; None: no limit.

    Attributes:
        ended: jobs that have ended here.
        when_idle: called when a slot finds nothing to do.
    """

    def __init__(
        self, queues: Sequence[str], concurrency: int, run: Run, *, most: int | None = None
    ) -> None:
        self.running: dict[Held, asyncio.Task[None]] = {}
        self.ended = 0
        self.when_idle: Callable[[], None] | None = None
        self._concurrency = concurrency
        self._waiting: dict[str, deque[Held]] = {queue: deque() for queue in queues}
        self._startable = self._waiting
        self._run = run
        self._idle: list[Nudge] = []
        self._started_one = False
        self._closed = False
        self._left = most
        self._slots = [
            asyncio.create_task(self._slot(), name=f"slot-{number}")
            for number in range(concurrency)
        ]
        self._quiet: asyncio.Future[None] | None = None

    def add(self, held: Held) -> None:
        """Let a job wait for a slot."""
        self._waiting[held.queue].append(held)
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
        startable = sum(map(len, self._startable.values()))
        return max(0, self._concurrency - len(self.running) - startable)

    @property
    def full(self) -> bool:
        """Every slot runs a job."""
        return len(self.running) >= self._concurrency

    def take_back(self, queue: str) -> list[Held]:
        """Take out what waits of a queue, for others to run; nothing of one that is paused."""
        waiting = self._startable.get(queue)
        if not waiting or self._closed:
            return []
        taken = list(waiting)
        waiting.clear()
        return taken

    @property
    def empty(self) -> bool:
        """Nothing runs and nothing waits."""
        return not self.running and not any(self._waiting.values())

    def drop(self, held: Held) -> None:
        """The job is no longer ours: cancel it, or take it out of the queue."""
        held.dropped = True
        if not self.stop(held):
            self.withdraw(held)

    def stop(self, held: Held) -> bool:
        """Cancel a job; False if it does not run."""
        task = self.running.get(held)
        return task is not None and task.cancel()

    def withdraw(self, held: Held) -> bool:
        """Take a job out of the queue; False if it does not wait there."""
        try:
            self._waiting[held.queue].remove(held)
        except ValueError:
            return False
        return True

    def pause(self, queue: str) -> None:
        """Start no more jobs of a queue until `resume`."""
        self._start_only(self._startable.keys() - {queue})

    def resume(self, queue: str) -> None:
        """Start jobs of a queue again."""
        self._start_only(self._startable.keys() | {queue})
        for slot in self._idle:
            slot.soon()
        self._idle.clear()

    def _start_only(self, queues: Container[str]) -> None:
        """In the order of their priority."""
        self._startable = {q: waiting for q, waiting in self._waiting.items() if q in queues}

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
        for slot in self._slots:
            slot.cancel()
        await asyncio.wait(self._slots, timeout=1.0)

    def _next(self) -> Held | None:
        if self._closed or self._left == 0:
            return None
        for waiting in self._startable.values():
            if waiting:
                if self._left is not None:
                    self._left -= 1
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
                idle = Nudge(loop)
                self._idle.append(idle)
                if self.when_idle is not None:
                    self.when_idle()
                await idle
                turn_ends = loop.time() + _TURN
                continue
            self.running[held] = task
            try:
                await self._run(held)
            except asyncio.CancelledError:
                if not held.dropped or self._closed:
                    raise
                task.uncancel()
            finally:
                del self.running[held]
                self.ended += 1
                self._notice()
            if loop.time() > turn_ends:
                await asyncio.sleep(0)
                turn_ends = loop.time() + _TURN

    def _notice(self) -> None:
        if self._quiet is not None and not self.running and not self._quiet.done():
            self._quiet.set_result(None)
