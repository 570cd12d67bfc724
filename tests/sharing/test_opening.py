"""Queues are opened one after the other, and that takes a while: what happens in between counts."""

from __future__ import annotations

import asyncio

from routeq_mqtt.worker.consume.sharing import Sharing


class Pool:
    """Slots, as full as a test says."""

    def __init__(self, size: int) -> None:
        self.size = self.free = size
        self.ended = 0
        self.when_idle = None

    @property
    def empty(self) -> bool:
        return self.free == self.size

    @property
    def full(self) -> bool:
        return not self.free


class Session:
    """A queue whose broker answers when the test says so."""

    def __init__(self) -> None:
        self.in_turn = False
        self.free: int | None = None
        self.answered = asyncio.Event()

    def limit(self, free: int | None) -> bool:
        self.free = free
        return True

    async def settled(self) -> None:
        await self.answered.wait()


class Embedded:
    """The embedded broker is there."""

    shares_queue = True
    scheduler_online = reports_no_subscribers = False


class Clock:
    def monotonic(self) -> float:
        return 0.0


async def test_queues_that_are_closed_while_they_open_are_opened_again() -> None:
    """The first answer came late: meanwhile the slots filled up, and everything was closed."""
    pool, sessions = Pool(2), [Session(), Session()]
    sharing = Sharing(pool, 2, sessions, Embedded(), Clock())  # type: ignore[arg-type]
    pool.free = 0
    sharing.look()  # nothing ends: closed
    assert [session.free for session in sessions] == [0, 0]
    pool.free = 2
    sharing.look()  # empty: opens without a limit, and waits for the first answer
    await asyncio.sleep(0)
    assert sessions[0].free is None
    pool.free = 0
    sharing.look()
    assert [session.free for session in sessions] == [0, 0]
    for session in sessions:
        session.answered.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert sharing.limited
    pool.free = 2
    sharing.look()
    for _ in range(5):
        await asyncio.sleep(0)
    assert [session.free for session in sessions] == [None, None]
    assert not sharing.limited
    sharing.close()
