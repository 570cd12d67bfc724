"""What jobs get injected, and what happens at a worker's start and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest

from routeq_mqtt import (
    ConfigurationError,
    Depends,
    Job,
    JobFailed,
    WorkerState,
    dispatch,
    job,
    on_shutdown,
    on_startup,
    remove_life_hook,
    worker_state,
)
from routeq_mqtt.errors import TaskEnded
from routeq_mqtt.testing import MemoryBus, fake, override, worker_life

LOG: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    LOG.clear()
    yield
    for function in (opens, opens_too, closes, breaks):
        remove_life_hook(function)


async def opens(state: WorkerState) -> None:
    LOG.append("opens")
    state.pool = "the pool"


def opens_too(state: WorkerState) -> None:
    LOG.append(f"opens too, with {state.pool}")


async def closes(state: WorkerState) -> None:
    LOG.append(f"closes {state.pool}")


def breaks(state: WorkerState) -> None:
    raise OSError("no database")


def pool() -> str:
    return str(worker_state().pool)


async def connection(of: str = Depends(pool)) -> AsyncIterator[str]:
    LOG.append("connects")
    try:
        yield f"a connection of {of}"
    except ValueError:
        LOG.append("rolls back")
        raise
    finally:
        LOG.append("disconnects")


async def model() -> AsyncIterator[str]:
    LOG.append("loads")
    yield "the model"
    LOG.append("unloads")


def counter() -> Iterator[int]:
    yield 7
    LOG.append("counted")


class Injected(Job, result_ttl=60, max_tries=1):
    n: int

    async def handle(
        self,
        one: str = Depends(connection),
        again: str = Depends(connection),
        big: str = Depends(model, scope="worker"),
    ) -> list[Any]:
        if self.n < 0:
            raise ValueError("below zero")
        return [self.n, one, one is again, big]


class InjectedPlain(Job, result_ttl=60):
    def handle(self, number: Annotated[int, Depends(counter)]) -> int:
        return number


@job(result_ttl=60)
async def injected_call(
    n: int, big: str = Depends(model, scope="worker"), number: int = Depends(counter)
) -> tuple[int, str, int]:
    return n, big, number


async def test_on_a_worker() -> None:
    for function in (opens, opens_too):
        on_startup(function)
    on_shutdown(closes)
    async with MemoryBus("default") as bus:
        assert LOG == ["opens", "opens too, with the pool"]
        handle = await bus.dispatch(Injected(n=1))
        assert await handle.result(20) == [1, "a connection of the pool", True, "the model"]
        with pytest.raises(JobFailed, match="below zero"):
            await (await bus.dispatch(Injected(n=-1))).result(20)
        assert await (await bus.dispatch(InjectedPlain())).result(20) == 7
        called = await bus.dispatch(injected_call.job(3))
        assert await called.result(20) == (3, "the model", 7)
        one = ["connects", "loads", "disconnects"]
        assert LOG[2:] == [*one, "connects", "rolls back", "disconnects", "counted", "counted"]
    assert LOG[-2:] == ["unloads", "closes the pool"]


async def test_a_start_that_fails_keeps_the_worker_from_starting() -> None:
    on_startup(breaks)
    on_shutdown(closes_nothing)
    try:
        with pytest.raises(TaskEnded, match=r"did not start: breaks raised OSError"):
            async with MemoryBus("default"):
                pass
        assert LOG == ["closed nothing"]
    finally:
        remove_life_hook(closes_nothing)


def closes_nothing(state: WorkerState) -> None:
    LOG.append("closed nothing")
    raise RuntimeError("is logged")


async def test_inline_and_called_directly_with_overrides() -> None:
    on_startup(opens)
    async with worker_life() as state:
        assert worker_state() is state
        async with fake(run=True):
            handle = await dispatch(Injected(n=2))
            assert await handle.result() == [2, "a connection of the pool", True, "the model"]
    with pytest.raises(ConfigurationError, match="no worker runs here"):
        worker_state()
    with override(connection, lambda: "a fake"), override(model, lambda: "small"):
        async with fake(run=True):
            assert await (await dispatch(Injected(n=2))).result() == [2, "a fake", True, "small"]
        assert await Injected(n=3).handle() == [3, "a fake", True, "small"]
        assert await injected_call(4) == (4, "small", 7)
    assert await Injected(n=3).handle("mine", "mine", "x") == [3, "mine", True, "x"]
    assert await injected_call(4, "given", number=1) == (4, "given", 1)
    assert await Injected(n=3).handle(one="1", again="1", big="x") == [3, "1", True, "x"]


async def test_many_jobs_share_what_is_made_for_the_worker() -> None:
    async with MemoryBus("default") as bus:
        handles = [await bus.dispatch(injected_call.job(n)) for n in range(20)]
        await asyncio.gather(*(handle.result(20) for handle in handles))
        assert LOG.count("loads") == 1


async def test_a_state_names_what_it_lacks() -> None:
    with pytest.raises(AttributeError, match="has no 'nothing'; set it in a function with"):
        _ = WorkerState().nothing


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be a function that makes"):
        Depends(3)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="scope='always'"):
        Depends(pool, scope="always")  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="must be a function of the worker's state"):
        on_startup(lambda: None)  # type: ignore[type-var]
    with pytest.raises(ConfigurationError, match="is a plain function, and connection has to be"):

        class PlainNeeds(Job):
            def handle(self, one: str = Depends(connection)) -> None: ...

    with pytest.raises(TypeError, match="unexpected keyword argument 'number'"):
        injected_call.job(1, number=3)
    with pytest.raises(TypeError, match="has no field 'number'"):
        injected_call.job(n=1, number=3)
