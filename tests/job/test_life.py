"""What the functions at a worker's start and end raise: each of the others runs all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from routeq_mqtt import WorkerState, on_shutdown, on_startup
from routeq_mqtt.errors import TaskEnded
from routeq_mqtt.jobs.calls.life import remove_life_hook, worker_life


class Panic(BaseException):
    """As PyO3 raises a Rust panic."""

    def __repr__(self) -> str:
        raise Panic

    __str__ = __repr__


RAISED: list[Callable[[], BaseException]] = [
    ValueError,
    Panic,
    lambda: SystemExit(0),
    asyncio.CancelledError,
    GeneratorExit,
]


@pytest.fixture
def added() -> Iterator[list[Any]]:
    functions: list[Any] = []
    yield functions
    for function in functions:
        remove_life_hook(function)


@pytest.mark.parametrize("error", RAISED)
async def test_all_of_shutdown_runs_whatever_one_function_raises(
    error: Callable[[], BaseException], added: list[Any]
) -> None:
    ran: list[WorkerState] = []

    async def first(state: WorkerState) -> None:
        ran.append(state)

    async def last(state: WorkerState) -> None:
        raise error()

    added += [on_shutdown(first), on_shutdown(last)]
    async with worker_life() as state:
        pass
    assert ran == [state]


@pytest.mark.parametrize("error", RAISED)
async def test_a_start_that_raises_is_an_error_and_what_was_set_up_is_closed(
    error: Callable[[], BaseException], added: list[Any]
) -> None:
    closed: list[WorkerState] = []

    def up(state: WorkerState) -> None:
        raise error()

    added += [on_startup(up), on_shutdown(closed.append)]
    with pytest.raises(TaskEnded, match=r"^the worker did not start: .*up raised "):
        async with worker_life():
            raise AssertionError("it starts")
    assert len(closed) == 1


async def test_a_worker_that_is_cancelled_at_its_start_ends(added: list[Any]) -> None:
    began = asyncio.Event()

    async def waits(state: WorkerState) -> None:
        began.set()
        await asyncio.Event().wait()

    async def live() -> None:
        async with worker_life():
            raise AssertionError("it starts")

    added.append(on_startup(waits))
    task = asyncio.create_task(live())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
