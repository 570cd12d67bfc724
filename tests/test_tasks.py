"""No task ends unseen."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from routeq_mqtt.tasks import Scope, Tasks
from tests.model.loop import VirtualLoop


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test())


async def breaks() -> None:
    raise ZeroDivisionError("of a task")


async def returns() -> None:
    """Nothing."""


@pytest.mark.parametrize("ends", [breaks, returns])
def test_a_loop_that_ends_begins_anew_ever_less_often(
    ends: Callable[[], Coroutine[Any, Any, None]], caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        loop, times, tasks = asyncio.get_running_loop(), [], Tasks()

        async def life() -> None:
            times.append(loop.time())
            await ends()

        tasks.keep(life, "a loop")
        await asyncio.sleep(60.0)
        assert 8 < len(times) < 15
        assert times[1] - times[0] == pytest.approx(0.1)
        assert times[-1] - times[-2] == pytest.approx(10.0)
        assert caplog.text.count("task=a loop ended") == len(times)
        await tasks.close()
        assert not tasks

    run(test)


def test_a_loop_that_was_sound_for_long_begins_anew_at_once() -> None:
    async def test() -> None:
        loop, times, tasks = asyncio.get_running_loop(), [], Tasks()

        async def life() -> None:
            times.append(loop.time())
            await asyncio.sleep(61.0)
            raise ZeroDivisionError

        tasks.keep(life, "a loop")
        await asyncio.sleep(400.0)
        waits = [later - earlier - 61.0 for earlier, later in itertools.pairwise(times)]
        assert waits == pytest.approx([0.1] * len(waits))
        await tasks.close()

    run(test)


async def test_an_error_is_logged_with_its_traceback_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[BaseException] = []
    tasks = Tasks()
    task = tasks.start(breaks(), "settle", failed=told.append)
    await asyncio.wait({task})
    await asyncio.sleep(0)
    assert isinstance(told[0], ZeroDivisionError)
    assert "task=settle" in caplog.text
    assert "in breaks" in caplog.text


async def test_an_expected_error_and_a_cancellation_are_no_news(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = Tasks()
    with caplog.at_level(logging.DEBUG):
        tasks.start(breaks(), "one", expected=(ZeroDivisionError,))
        tasks.start(asyncio.sleep(100), "two")
        await asyncio.sleep(0)
        await tasks.close()
    assert "routeq_mqtt" not in caplog.text
    assert len(tasks) == 0


async def test_what_a_block_starts_does_not_outlive_it() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.Future()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    async with Scope() as scope:
        scope.start(work(), "work")
        await asyncio.sleep(0)
    assert ended == [True]
