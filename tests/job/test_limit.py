"""The time limit of one run, and how it stands still."""

from __future__ import annotations

import asyncio

import pytest

from routeq_mqtt.eager import EagerCoroutine
from routeq_mqtt.worker.execute.timeout import PausableTimeout


async def _for_ever() -> None:
    await asyncio.Future()


async def test_a_run_that_takes_too_long_is_cancelled() -> None:
    limit = PausableTimeout(0.0)
    with pytest.raises(TimeoutError):
        await limit.over(EagerCoroutine(_for_ever()))
    assert limit.expired


async def test_a_timeout_of_its_own_is_not_the_limit() -> None:
    async def own() -> None:
        await asyncio.sleep(0)
        raise TimeoutError("of a socket")

    limit = PausableTimeout(60.0)
    with pytest.raises(TimeoutError, match="of a socket"):
        await limit.over(EagerCoroutine(own()))
    assert not limit.expired


@pytest.mark.parametrize("seconds", [0.0, 0.05])
async def test_it_does_not_run_while_it_is_stopped(seconds: float) -> None:
    limit = PausableTimeout(seconds)
    turns: list[int] = []

    async def run() -> None:
        if seconds:
            await asyncio.sleep(0)  # it runs already
        limit.stop()
        for turn in range(50):  # each a turn of the loop in which the limit would have struck
            await asyncio.sleep(0)
            turns.append(turn)
        limit.call_next()
        await asyncio.Future()

    with pytest.raises(TimeoutError):
        await limit.over(EagerCoroutine(run()))
    assert len(turns) == 50
    assert limit.expired


async def test_without_a_limit_nothing_runs() -> None:
    limit = PausableTimeout(None)
    limit.stop()
    limit.call_next()

    async def run() -> int:
        limit.stop()
        await asyncio.sleep(0)
        limit.call_next()
        return 3

    assert await limit.over(EagerCoroutine(run())) == 3
    assert not limit.expired
