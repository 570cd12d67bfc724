"""Keeps jobs from waiting here while a slot is free elsewhere.

Brokers do not share fairly: mosquitto deals in turn, however busy a member is, and never takes back
what it dealt. So a worker whose slots are all taken takes no more, and gives back what it has not
started; with the next free slot it takes jobs again, by itself, whatever lives or dies meanwhile.

On the embedded broker giving back costs nothing, so a worker always does so. On other brokers a job
that comes back goes through the scheduler's database, so a worker does so only after the
scheduler's balancer has asked for it, and for as long as it helps. Where the scheduler deals, it
gives back what waits once for each time that it is asked: what it gets next was meant for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from routeq_mqtt.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.bus.send.broker_info import BrokerInfo
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.worker.consume.pool import Pool

LOOK_EVERY = 0.05
"""Seconds between two looks at the slots; when none came free in between, jobs are given back."""

SHARE_FOR = 10.0
"""Seconds for which a worker goes on sharing after it was asked, or had last to give back."""

_FAST = 2
"""Turns of all slots between two looks: jobs that fast are better held here than given back."""


class Shares(Protocol):
    """One queue's session, as far as sharing goes.

    Attributes:
        in_turn: earlier queues come first: while it is limited, what ends here makes no room.
    """

    in_turn: bool

    def limit(self, free: int | None) -> bool:
        """Take `free` jobs more than run here at most, and give back what waits beyond that.

        Args:
            free: slots that are free; None: no limit but the window.

        Returns:
            Whether it is so already; else ask again.
        """
        ...

    def give_back(self) -> None:
        """Give back what waits, and go on taking."""
        ...

    async def settled(self) -> None:
        """Wait until what the last limit lets in is here (on the embedded broker)."""
        ...


class Sharing:
    """Looks at the slots while jobs run, and limits what the sessions take.

    Args:
        pool: the slots.
        concurrency: how many there are.
        sessions: of all queues.
        surroundings: which broker it is, and whether a scheduler is there.
        clock: for how long to share.
    """

    def __init__(
        self,
        pool: Pool,
        concurrency: int,
        sessions: Sequence[Shares],
        surroundings: BrokerInfo,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._concurrency = concurrency
        self._sessions = sessions
        self._surroundings = surroundings
        self._clock = clock
        self._until = 0.0
        self._asked = False
        self._limited = False
        self._limits = 0
        self._ended_before = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks()
        self._closed = False
        pool.when_idle = self._slot_is_free
        for session in sessions:
            session.in_turn = len(sessions) > 1

    def share(self) -> None:
        """Jobs wait here while others have free slots: the balancer asks to share."""
        if self._surroundings.deals:
            if self._pool.full:
                for session in self._sessions:
                    session.give_back()
            return
        self._until = self._clock.monotonic() + SHARE_FOR
        self._asked = True
        self.look()

    def busy(self) -> None:
        """A job starts: look after it."""
        if self._timer is None and (self._surroundings.shares_queue or self._until):
            self._look_soon()

    @property
    def limited(self) -> bool:
        """We take less than we could: what we hold is not all that there is."""
        return self._limited

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._pool.when_idle = None
        if self._timer is not None:
            self._timer.cancel()
        self._tasks.cancel()

    def _look_soon(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self.look)

    def look(self) -> None:
        """One pass over the slots."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pool = self._pool
        turned, self._ended_before = pool.ended - self._ended_before, pool.ended
        asked, self._asked = self._asked, False
        shares = self._shares()
        if not shares or pool.empty or (turned > _FAST * self._concurrency and not asked):
            self._limit(None)
        elif pool.free:
            self._limit(pool.free)
        elif pool.full and (asked or not turned):
            self._until = self._clock.monotonic() + SHARE_FOR
            self._limit(0)
        if self._limited or (shares and not pool.empty):
            self._look_soon()

    def _shares(self) -> bool:
        around = self._surroundings
        if around.shares_queue:
            return True
        if not (around.scheduler_online and around.reports_no_subscribers):
            # Nobody would bring back what we give; or jobs that were sent to a group that all
            # have left would be gone, and nobody would be told.
            self._until = 0.0
        return self._clock.monotonic() < self._until

    def _slot_is_free(self) -> None:
        if self._limited:
            self._limit(self._pool.free)

    def _limit(self, free: int | None) -> None:
        if free is None and not self._limited:
            return
        if self._surroundings.shares_queue and free != 0 and len(self._sessions) > 1:
            self._open(free)
            return
        self._limits += 1
        done = [session.limit(free) for session in self._sessions]
        self._limited = free is not None or not all(done)

    def _open(self, free: int | None) -> None:
        self._limited = True
        if not self._tasks:
            self._tasks.start(self._open_in_turn(free), "sharing-open")

    async def _open_in_turn(self, free: int | None) -> None:
        """The earliest queue first: a later one may send only what that leaves room for.

        Each queue has a connection of its own, so what is asked for at once may come in any order.
        """
        limits = self._limits
        for session in self._sessions:
            if free is not None and not self._pool.free:
                return  # with the next free slot we begin again
            session.limit(None if free is None else self._pool.free)
            await session.settled()
            if limits != self._limits:
                return  # all were closed meanwhile: what opens them begins again
        self._limited = free is not None
