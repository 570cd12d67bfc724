"""A coroutine's first step at once, and a task that runs at once."""

from __future__ import annotations

import asyncio

import pytest

from routeq_mqtt.eager import EagerCoroutine, InlineFuture


async def test_what_never_waits_is_over_at_once() -> None:
    async def quick() -> int:
        return 7

    begun = EagerCoroutine(quick())
    assert begun.over
    assert begun.value == 7
    assert await begun == 7


async def test_what_it_raises_first_is_raised_where_it_begins() -> None:
    async def wrong() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        EagerCoroutine(wrong())


async def test_the_rest_runs_when_it_is_awaited_however_often_it_waits() -> None:
    gates = [asyncio.get_running_loop().create_future() for _ in range(3)]
    seen: list[object] = []

    async def slow() -> str:
        for gate in gates:
            seen.append(await gate)  # noqa: PERF401 - each is awaited in its turn
        await asyncio.sleep(0)
        return "end"

    begun = EagerCoroutine(slow())
    assert not begun.over
    for number, gate in enumerate(gates):
        asyncio.get_running_loop().call_soon(gate.set_result, number)
    assert await begun == "end"
    assert seen == [0, 1, 2]


async def test_a_failed_future_a_timeout_and_a_cancellation_reach_it() -> None:
    caught: list[str] = []

    async def stubborn(gate: asyncio.Future[None]) -> str:
        for _ in range(3):
            try:
                await gate
            except ValueError as error:
                caught.append(str(error))
                gate = asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                caught.append("cancelled")
                raise
        return "never"

    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    begun = EagerCoroutine(stubborn(gate))
    gate.set_exception(ValueError("no"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await begun
    assert caught[-1] == "cancelled"


async def _waiting(nudge: InlineFuture, seen: list[str]) -> asyncio.Task[None]:
    async def wait() -> None:
        try:
            await nudge
            seen.append("woken")
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    return task


async def test_a_nudge_runs_its_task_before_it_returns() -> None:
    seen: list[str] = []
    nudge = InlineFuture(asyncio.get_running_loop())
    task = await _waiting(nudge, seen)
    done: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    def outside_of_any_task() -> None:
        nudge.now()
        done.set_result(list(seen))

    asyncio.get_running_loop().call_soon(outside_of_any_task)
    assert await done == ["woken"]
    assert nudge.done()
    await task


async def test_inside_of_a_task_it_waits_for_the_next_turn() -> None:
    seen: list[str] = []
    nudge = InlineFuture(asyncio.get_running_loop())
    task = await _waiting(nudge, seen)
    nudge.now()
    assert seen == []
    await task
    assert seen == ["woken"]


async def test_a_nudge_that_came_first_is_not_waited_for() -> None:
    nudge = InlineFuture(asyncio.get_running_loop())
    nudge.soon()
    await nudge


async def test_a_waiting_task_is_cancelled_as_any_other() -> None:
    seen: list[str] = []
    nudge = InlineFuture(asyncio.get_running_loop())
    task = await _waiting(nudge, seen)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]
    assert not nudge.cancel()
    nudge.now()  # nobody waits any more
