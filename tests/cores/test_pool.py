"""The slots of a worker: which job starts when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from routeq_mqtt.transport.seam import Message
from routeq_mqtt.worker.held import Held
from routeq_mqtt.worker.pool import Pool

if TYPE_CHECKING:
    from routeq_mqtt.transport.seam import Connection


class _Nowhere:
    def settle(self, held: Held) -> None: ...

    def owns(self, held: Held) -> bool:
        return True

    async def until_owned(self, held: Held) -> None: ...


def _held(name: str) -> Held:

    message = Message(f"queue/{name}", name.encode())
    return Held(_Nowhere(), "q", cast("Connection", None), message, None, None, name)


async def test_the_first_job_of_a_turn_starts_in_it_and_the_others_in_the_next() -> None:
    began: list[str] = []
    gate = asyncio.Event()

    async def run(held: Held) -> None:
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
    async def run(held: Held) -> None:
        raise AssertionError("must not start")

    pool = Pool(["q"], 1, run)
    await asyncio.sleep(0)
    pool.close()
    pool.add(_held("late"))
    await pool.finish(5.0)
    assert pool.waiting("q") == 1
