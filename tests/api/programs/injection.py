"""Injected parameters have the type of what makes them, and are no part of a dispatch."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, assert_type

from routeq_mqtt import (
    Depends,
    Job,
    JobHandle,
    Worker,
    WorkerState,
    dispatch,
    job,
    on_startup,
    worker_state,
)


async def connection() -> AsyncIterator[float]:
    yield 1.5


def numbers() -> Iterator[int]:
    yield 1


async def text() -> str:
    return "text"


@on_startup
async def opens(state: WorkerState) -> None:
    state.pool = []


class Count(Job):
    customer: str

    async def handle(self, db: float = Depends(connection), n: int = Depends(numbers)) -> float:
        return db + n


class CountPlain(Job):
    def handle(self, n: Annotated[int, Depends(numbers)]) -> int:
        return n


@job
async def total(year: int, name: str = Depends(text), n: int = Depends(len, scope="worker")) -> str:
    assert_type(worker_state(), WorkerState)
    return name


async def right() -> None:
    assert_type(await dispatch(Count(customer="a")), JobHandle[float])
    assert_type(await dispatch(CountPlain()), JobHandle[int])
    assert_type(await total.dispatch(2026), JobHandle[str])
    assert_type(await Count(customer="a").handle(db=1.0, n=2), float)
    async with Worker(queues=["mail"], concurrency=3) as worker:
        assert_type(worker.ended_jobs, int)


async def wrong() -> None:
    async def one(db: str = Depends(connection)) -> None: ...  # mypy: assignment; pyright: reportArgumentType

    async def two(n: str = Depends(numbers)) -> None: ...  # mypy: assignment; pyright: reportArgumentType

    Depends(text, scope="always")  # mypy: call-overload; pyright: reportCallIssue, reportArgumentType
    Worker(queue="mail")  # mypy: call-arg; pyright: reportCallIssue

    @on_startup  # mypy: type-var; pyright: reportArgumentType, reportUntypedFunctionDecorator
    def three() -> None: ...
