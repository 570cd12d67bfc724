"""The slots of a worker: which job starts when."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, cast

from routeq_mqtt.transport.base import Message
from routeq_mqtt.worker.consume.pool import Pool
from routeq_mqtt.worker.delivery import Delivery

if TYPE_CHECKING:
    from routeq_mqtt.transport.base import Connection


class _Nowhere:
    def settle(self, held: Delivery) -> None: ...

    def owns(self, held: Delivery) -> bool:
        return True

    async def until_owned(self, held: Delivery) -> None: ...


def _held(name: str, queue: str = "q") -> Delivery:
    message = Message(f"queue/{name}", name.encode())
    return Delivery(_Nowhere(), queue, cast("Connection", None), message, None, None, name)


async def test_the_first_job_of_a_turn_starts_in_it_and_the_others_in_the_next() -> None:
    began: list[str] = []
    gate = asyncio.Event()

    async def run(held: Delivery) -> None:
        began.append(held.job_id)
        await gate.wait()

    pool = Pool(["q"], 3, run)
    await asyncio.sleep(0)  # the slots wait for jobs now
    seen: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    def arrive() -> None:
        for name in ("one", "two", "three"):
            pool.add(_held(name))
        seen.set_result(list(began))

    asyncio.get_running_loop().call_soon(arrive)  # as a socket does, outside of any task
    assert await seen == ["one"]
    while len(began) < 3:
        await asyncio.sleep(0)
    assert sorted(began) == ["one", "three", "two"]
    gate.set()
    await pool.finish(5.0)
    assert pool.empty
    assert pool.ended == 3


async def test_a_job_that_arrives_while_its_slot_is_told_to_end_stays_waiting() -> None:
    async def run(held: Delivery) -> None:
        raise AssertionError("must not start")

    pool = Pool(["q"], 1, run)
    await asyncio.sleep(0)
    pool.close()
    pool.add(_held("late"))
    await pool.finish(5.0)
    assert pool.waiting("q") == 1


async def test_short_jobs_may_wait_in_number_and_long_ones_may_not() -> None:
    loop = asyncio.get_running_loop()
    now = [0.0]
    seconds = [0.00001]

    async def run(held: Delivery) -> None:
        now[0] += seconds[0]

    async def run_all(number: int) -> None:
        for name in range(number):
            pool.add(_held(str(name)))
        while not pool.empty:
            await asyncio.sleep(0)

    loop.time = lambda: now[0]  # type: ignore[method-assign]
    try:
        pool = Pool(["q"], 10, run, ahead=256)
        assert pool.soon == 0  # nothing is known of the jobs yet
        await run_all(20)
        assert pool.soon == 256
        seconds[0] = 0.002
        await run_all(100)
        assert 90 <= pool.soon <= 110
        seconds[0] = 1.0
        await run_all(1)  # a single one among many short ones
        assert pool.soon < 10
        seconds[0] = 0.00001
        await run_all(200)
        assert pool.soon == 256
    finally:
        del loop.time
    await pool.finish(5.0)


async def test_who_says_how_many_jobs_to_hold_gets_no_more() -> None:
    async def run(held: Delivery) -> None: ...

    pool = Pool(["q"], 10, run)
    for name in range(50):
        pool.add(_held(str(name)))
    while not pool.empty:
        await asyncio.sleep(0)
    assert pool.soon == 0
    await pool.finish(5.0)


async def test_the_next_job_is_of_the_first_queue_that_may_start_whatever_happened() -> None:
    """As a pool that looks at all queues each time would choose."""
    rng = random.Random(18)  # noqa: S311 - repeatable
    queues = [f"q{number}" for number in range(8)]
    model: dict[str, list[Delivery]] = {queue: [] for queue in queues}
    paused: set[str] = set()

    async def run(held: Delivery) -> None:
        raise AssertionError("nothing is started by itself here")

    pool = Pool(queues, 0, run)
    for step in range(4_000):
        queue = rng.choice(queues)
        what = rng.choice(["add", "add", "add", "next", "next", "pause", "resume", "back", "out"])
        if what == "add":
            model[queue].append(_held(str(step), queue))
            pool.add(model[queue][-1])
        elif what == "pause":
            pool.pause(queue)
            paused.add(queue)
        elif what == "resume":
            pool.resume(queue)
            paused.discard(queue)
        elif what == "back":
            wanted = [] if queue in paused else model[queue]
            assert pool.take_back(queue) == wanted
            if queue not in paused:
                model[queue] = []
        elif what == "out" and model[queue]:
            held = rng.choice(model[queue])
            model[queue].remove(held)
            assert pool.withdraw(held)
            assert not pool.withdraw(held)
        elif what == "next":
            first = next((q for q in queues if model[q] and q not in paused), None)
            assert pool._next() is (None if first is None else model[first].pop(0))
        assert pool.empty == (not any(model.values()))
        assert [pool.waiting(q) for q in queues] == [len(model[q]) for q in queues]
        startable = sum(len(model[q]) for q in queues if q not in paused)
        assert pool._startable == startable
    await pool.finish(1.0)
