"""Middleware: its order, what it may do, and where it is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from routeq_mqtt import ConfigurationError, Job, middleware, remove_middleware
from routeq_mqtt.jobs.middleware import Handler, around, wrapped
from routeq_mqtt.testing import fake

seen: list[str] = []


async def first(job: Job, call_next: Handler) -> object:
    seen.append("first in")
    value = await call_next(job)
    seen.append("first out")
    return value


async def second(job: Job, call_next: Handler) -> object:
    seen.append("second in")
    return f"<{await call_next(job)}>"


async def stops(job: Job, call_next: Handler) -> object:
    return "stopped"


async def innermost(job: Job) -> object:
    seen.append("handle")
    return "value"


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    seen.clear()
    yield
    for function in (first, second):
        if function in around(Job):
            remove_middleware(function)


async def test_the_middleware_of_all_jobs_stands_outside_of_a_class_s_own() -> None:
    class Wrapped(Job):
        middleware = (second,)

        async def handle(self) -> None: ...

    middleware(first)
    middleware(first)  # twice is once
    assert around(Wrapped) == (first, second)
    assert await wrapped(around(Wrapped), innermost)(Wrapped()) == "<value>"
    assert seen == ["first in", "second in", "handle", "first out"]


async def test_one_that_does_not_go_on_keeps_the_job_from_running() -> None:
    assert await wrapped((stops, first), innermost)(Job()) == "stopped"
    assert seen == []


def test_most_jobs_have_none() -> None:
    class Bare(Job):
        async def handle(self) -> None: ...

    assert around(Bare) == ()


def test_what_is_no_coroutine_function_is_refused_where_it_is_written() -> None:
    with pytest.raises(ConfigurationError, match=r"Plain: middleware: .*async def middleware"):

        class Plain(Job):
            middleware = [lambda job, call_next: None]  # type: ignore[list-item,return-value]

            async def handle(self) -> None: ...

    with pytest.raises(ConfigurationError, match="must be a list of coroutine functions"):

        class Alone(Job):
            middleware = first  # type: ignore[assignment]

            async def handle(self) -> None: ...

    with pytest.raises(ConfigurationError, match="middleware: 7 must be a coroutine function"):
        middleware(7)  # type: ignore[type-var]


def test_an_object_with_an_async_call_will_do() -> None:
    class Limiter:
        async def __call__(self, job: Job, call_next: Handler) -> object:
            return await call_next(job)

    limiter = Limiter()

    class Limited(Job):
        middleware = [limiter]

        async def handle(self) -> None: ...

    assert around(Limited) == (limiter,)


async def forgets_to_wait(job: Job, call_next: Handler) -> object:
    return call_next(job)


class Forgotten(Job):
    max_tries = 1
    middleware = [forgets_to_wait]

    async def handle(self) -> None:
        raise AssertionError("it was not waited for")


async def test_a_job_that_its_middleware_did_not_wait_for_is_not_done() -> None:
    async with fake(run=True) as bus:
        await bus.dispatch(Forgotten())
        [record] = bus.failed
    assert "returned go_on(job) without waiting for it; write: return await" in record.error


def test_what_is_not_there_may_be_taken_away() -> None:
    remove_middleware(forgets_to_wait)
