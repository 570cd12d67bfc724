"""Functions as jobs: on a bus in memory, on a fake one, called directly."""

from __future__ import annotations

import asyncio
from types import new_class
from typing import Any

import pytest

from routeq_mqtt import (
    ConfigurationError,
    DuplicateJobName,
    Exponential,
    Job,
    JobFailed,
    NoResult,
    SyncBus,
    batch,
    chain,
    current_job,
    every,
    job,
    queue,
    trigger,
    use_bus,
)
from routeq_mqtt.jobs.codec import from_envelope, to_envelope
from routeq_mqtt.jobs.schedule import schedules
from routeq_mqtt.jobs.trigger import declared
from routeq_mqtt.testing import MemoryBus, fake

GAVE_UP: list[str] = []


def gives_up(error: BaseException) -> None:
    GAVE_UP.append(f"{error} in attempt {current_job().attempts}")


async def gives_up_later(error: BaseException) -> None:
    gives_up(error)


@job(queue="mail", max_tries=2, result_ttl=60, failed=gives_up)
async def fn_send(to: str, name: str = "Hello", *, data: int = 1, queue: str = "q") -> str:
    """Parameters may have the names of whatever a job has."""
    if to == "nobody":
        raise ValueError("no such address")
    return f"{name} {to} {data} {queue} {current_job().attempts}"


@job(result_ttl=60, failed=gives_up_later, max_tries=1)
def fn_plain(handle: int, job_id: str = "mine") -> tuple[int, str, bool]:
    if handle < 0:
        raise ValueError("below zero")
    return handle, job_id, current_job().job_id is not None


@job(unique_for=60, unique_key=lambda page, text: page, rate_limit=(9, 1), rate_key=lambda **_: "r")
async def fn_page(page: int, text: str) -> None: ...


@every(minutes=5)
@trigger("fn/{device}")
@job
async def fn_tick(device: str = "none") -> None: ...


async def test_calls_run_on_a_worker() -> None:
    async with MemoryBus("mail", "default") as bus:
        use_bus(bus)
        handle = await fn_send.dispatch(to="ada")
        assert await handle.result(10) == "Hello ada 1 q 1"
        assert await (await fn_send.dispatch("ada", "Hi", data=2)).result(10) == "Hi ada 2 q 1"
        late = await fn_send.options(delay=0.01, queue="default").dispatch("eve", queue="x")
        assert await late.result(10) == "Hello eve 1 x 1"
        assert await (await fn_send.later(0.01, "bob")).result(10) == "Hello bob 1 q 1"
        assert await (await fn_plain.dispatch(3)).result(10) == (3, "mine", True)
        ids = await queue.bulk([fn_send.job("ada"), fn_plain.job(1)])
        assert [await bus.result(one, 10) for one in ids] == ["Hello ada 1 q 1", (1, "mine", True)]
        steps = await chain(fn_plain.job(1), fn_send.job("end")).dispatch()
        assert await bus.result(steps[-1], 10) == "Hello end 1 q 1"
        assert (await (await batch([fn_plain.job(1)]).dispatch()).progress()).total == 1
        named = await bus.dispatch_named("fn_send", {"to": "x", "data": 5}, queue="mail")
        assert await named.result(10) == "Hello x 5 q 1"


async def test_calls_that_fail_are_tried_again_and_given_up() -> None:
    GAVE_UP.clear()
    async with MemoryBus("mail", "default") as bus:
        use_bus(bus)
        failed = await fn_send.dispatch("nobody")
        with pytest.raises(JobFailed, match="no such address"):
            await failed.result(10)
        with pytest.raises(JobFailed, match="below zero"):
            await (await fn_plain.options(max_tries=3).dispatch(-1)).result(10)
    assert GAVE_UP == ["no such address in attempt 2", "below zero in attempt 3"]


async def test_a_call_in_a_test_is_a_call() -> None:
    assert fn_send.__name__ == "fn_send"
    assert fn_send.__doc__ == "Parameters may have the names of whatever a job has."
    with pytest.raises(ConfigurationError, match="no function job runs here"):
        await fn_send("ada")
    assert await fn_page(1, text="x") is None  # type: ignore[func-returns-value]
    assert repr(fn_send) == "<job tests.api.test_functions.fn_send>"


async def test_a_fake_bus_knows_functions() -> None:
    async with fake() as bus:
        handle = await fn_send.options(delay=3).dispatch(to="ada")
        [one] = bus.assert_dispatched(fn_send, lambda call: call.to == "ada", delay=3, queue="mail")
        assert one.id == handle
        assert one.job.arguments == {"to": "ada", "name": "Hello", "data": 1, "queue": "q"}  # type: ignore[attr-defined]
        assert one.job.queue == "mail"  # the job's, not the argument
        bus.assert_not_dispatched(fn_plain)
        with pytest.raises(AssertionError, match="fn_plain was not dispatched"):
            bus.assert_dispatched(fn_plain)
    async with fake(run=True):
        assert await (await fn_send.dispatch("ada")).result() == "Hello ada 1 q 1"
        with pytest.raises(NoResult):
            await (await fn_page.dispatch(1, "a")).result()
        with pytest.raises(ConfigurationError, match="no function job runs here"):
            current_job()


def test_a_blocking_bus_takes_calls() -> None:
    with fake(run=True):
        assert SyncBus().dispatch(fn_plain.job(2)).result() == (2, "mine", True)


def test_options_travel_as_those_of_a_class() -> None:
    call = fn_page.job(3, "x")
    envelope = to_envelope(call, now=1.0)
    assert (envelope.job, envelope.data) == ("fn_page", {"page": 3, "text": "x"})
    assert envelope.options["unique_key"] == "3"
    assert envelope.options["limits"] == [{"key": "r", "rate": [9, 1]}]
    assert repr(from_envelope(envelope)) == "fn_page(page=3, text='x')"
    own = to_envelope(fn_send.options(max_tries=7, timeout=2, retry_after=1).job("a"), now=1.0)
    assert (own.max_tries, own.timeout, own.retry_after, own.queue) == (7, 2, 1, "mail")
    assert schedules()["fn_tick"][1] is fn_tick.job_class
    assert "fn_tick" in {one.job for one in declared()}


def _takes_anything(*what: object) -> None: ...
def _takes_names(**what: object) -> None: ...
def _by_place(what: object, /) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "wrong"),
    [
        (_takes_anything, {}, r"_takes_anything: the parameter \*what.* cannot travel"),
        (_takes_names, {}, r"_takes_names: the parameter \*\*what.* cannot travel"),
        (_by_place, {}, "'what' is positional only"),
        (print, {}, "print"),
        (Job, {}, "must be a function; of a class derive from Job"),
        ("text", {}, "must be a function"),
        (gives_up, {"max_tries": 0}, "gives_up: max_tries=0"),
        (gives_up, {"max_trys": 3}, "did you mean max_tries"),
        (gives_up, {"unique_key": "x"}, "unique_key='x' must be a function"),
        (gives_up, {"unique_for": 1, "debounce_for": 1}, "exclude one another"),
    ],
)
def test_wrong_functions_fail_where_they_are_decorated(
    function: Any, options: Any, wrong: str
) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        job(**options)(function)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"dely": 3}, "there is no option 'dely'"),
        ({"max_tries": 0}, "fn_send: max_tries=0"),
        ({"backoff": Exponential()}, "cannot be set on one job"),
        ({"backoff": 1, "retry_after": 1}, "keep one of them"),
    ],
)
def test_wrong_options_of_a_call_fail_at_once(options: Any, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        fn_send.options(**options)


async def test_wrong_calls_fail_at_once() -> None:
    async with fake() as bus:
        for args, kwargs, wrong in (
            ((), {}, "fn_send needs 'to'"),
            (("a", "b", "c"), {}, "fn_send: too many positional arguments"),
            ((), {"to": "a", "too": "b"}, "did you mean 'to'"),
        ):
            with pytest.raises(TypeError, match=wrong):
                await fn_send.dispatch(*args, **kwargs)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"of a function: fn_send.job"):
            await bus.dispatch(fn_send)  # type: ignore[call-overload]
        bus.assert_nothing_dispatched()


def test_two_jobs_have_two_names() -> None:
    with pytest.raises(DuplicateJobName, match="'fn_send' is taken by"):
        new_class("Other", (Job,), {"name": "fn_send"}, lambda names: names.update(handle=print))


async def test_many_calls_have_each_their_own_job() -> None:
    async def one(number: int) -> None:
        assert (await (await fn_plain.dispatch(number)).result(10))[0] == number

    async with MemoryBus("default") as bus:
        use_bus(bus)
        await asyncio.gather(*map(one, range(50)))
