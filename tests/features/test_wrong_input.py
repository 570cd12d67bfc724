"""What a new user gets wrong: each error names the thing, the value and the fix; nothing hangs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from routeq_mqtt import (
    BatchHandle,
    Bus,
    ConfigurationError,
    ConnectionFailed,
    Exponential,
    Job,
    JobHandle,
    NoResult,
    Release,
    RequestFailed,
    ResultTimeout,
    Retry,
    SyncBus,
    batch,
    chain,
    cron,
    dispatch,
    every,
    middleware,
    on,
    propagate,
)
from routeq_mqtt.testing import fake
from routeq_mqtt.wire.checks import LATEST
from tests.features.jobs import Part

NOWHERE = "mqtt://127.0.0.1:1"


async def takes_a_job(job: Job) -> None:
    """Neither a middleware nor a hook."""


def takes_nothing() -> None:
    """No hook."""


def call(function: Any, *args: Any, **more: Any) -> Callable[[], object]:
    return lambda: function(*args, **more)


def define(**body: Any) -> type[Job]:
    return type("Mine", (Job,), {"handle": lambda self: None, **body})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"unique_until": "started"}, "unique_until='started' does nothing without unique_for"),
        ({"unique_for": 5, "unique_key": "x"}, "unique_key='x' must be a method: def unique_key"),
        ({"rate_limit": (1, 1), "rate_key": 7}, "rate_key=7 must be a method"),
        ({"rate_limit": (10, -1)}, r"rate_limit=\(10, -1\) must be \(jobs, seconds\)"),
        ({"rate_limit": (1, 1e10)}, "rate_limit="),
        ({"retry_after": 1e12}, "retry_after=1000000000000.0 must be 0 seconds or more"),
        ({"without_overlapping": True, "concurrency_limit": 3}, "keep one of them"),
        ({"delay": 5}, r"delay=5 is not an option of a job class; .* dispatch\(job, delay=…\)"),
        ({"priority": 3}, "worker --queue high,low"),
        ({"backoff": [1, "x"]}, r"backoff=\[1, 'x'\] must be"),
        ({"backoff": [1, 2], "retry_after": 5}, r"backoff=\[1, 2\] is instead of retry_after=5"),
        ({"middleware": [takes_a_job]}, r"must take a job and go_on: async def middleware"),
    ],
)
def test_an_option_that_cannot_work_is_refused_where_it_is_written(
    body: dict[str, Any], error: str
) -> None:
    with pytest.raises(ConfigurationError, match=error):
        define(**body)


def test_a_base_may_say_half_of_what_its_classes_say() -> None:
    class BaseOfTwo(Job):
        abstract = True
        unique_until = "started"
        priority: ClassVar[int] = 3

    class WholeOfTwo(BaseOfTwo):
        unique_for = 5

        async def handle(self) -> None: ...

    assert WholeOfTwo.unique_until == "started"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: every(5), r"every: 5 of what\? Write for example @every\(minutes=5\)"),
        (call(every, seconds="5"), "every: seconds='5' must be a number"),
        (lambda: every(minutes=5, name="")(define()), "name='' must be a printable text"),
        (lambda: every(days=1e9)(define()), "must be 1 second to 100 years"),
        (call(cron("0 3 * * *"), len), "is not a job class; put the decorator above a class"),
        (call(cron, define()), "is not a cron expression; write for example @cron"),
        (call(cron, 5), "cron: 5 is not a cron expression"),
        (call(middleware, takes_a_job), "must take a job and go_on"),
        (call(Exponential, jitter="no"), "jitter='no' must be True or False"),
        (call(Retry, delay="5"), "Retry: delay='5' must be 0 seconds or more"),
        (lambda: Release(float("inf")), "Release: delay=inf must be 0 seconds or more"),
        (lambda: Release(True), "Release: delay=True must be 0 seconds or more"),
        (call(Retry, delay=1e11), "Retry: delay=1.* must be 0 seconds or more.* at most"),
        (call(on("done"), 5), "on: 5 must be a function of a JobEvent"),
        (call(on("done"), takes_nothing), "must be a function of a JobEvent"),
        (call(on("done"), takes_a_job), "must be a plain function.* would never run"),
        (lambda: on("over"), r"no event 'over'; use .*, or @on\(\) for all"),
        (call(propagate, "tenant"), "travels: 'tenant' must be a contextvars.ContextVar"),
        (call(chain, [Part(key="a"), Part(key="b")]), "is not a job; name them one by one"),
        (call(chain, Part, Part), r"is not a job; make one: Part\(…\)"),
        (call(chain), "chain: 0 jobs; name 1 to 500"),
        (call(BatchHandle, 5), "BatchHandle: id=5 must be the id of a batch"),
        (call(batch, Part(key="a")), r"batch: Part\(.*\) must be a list of jobs"),
        (call(batch, ["a"]), "batch: 'a' is not a job"),
        (call(batch, [], name=5), "batch: name=5 must be a text"),
        (call(batch([]).then, Part), r"batch: .then\(\): .* make one: Part\(…\)"),
        (call(Part(key="a").progress, "1"), "Part.progress: done='1' must be a finite number"),
        (lambda: Part(key="a").progress(1, float("nan")), "total=nan must be a finite number"),
        (call(Part(key="a").progress, 1, 2, {}), "note={} must be a text"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_mend(make: Any, error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        make()


async def test_two_answers_to_how_long_it_waits_are_refused_on_one_job_too() -> None:
    job: Any = Part(key="a")
    job.retry_after, job.backoff = 5, [1, 2]
    with fake(), pytest.raises(ConfigurationError, match="keep one of them"):
        await dispatch(job)


async def test_a_handle_says_what_becomes_of_an_id_that_no_batch_has() -> None:
    async with fake(run=True):
        for asked in (BatchHandle("gone").add([Part(key="a")]), BatchHandle("gone").cancel()):
            with pytest.raises(RequestFailed, match="no batch has the id 'gone'"):
                await asked
        with pytest.raises(ConfigurationError, match=r"add\(\): Part\(.*\) must be a list of jobs"):
            await BatchHandle("some").add(Part(key="a"))  # type: ignore[arg-type]
    async with fake() as bus:
        await BatchHandle("some").add([Part(key="a")])
        bus.assert_dispatched(Part)
    with pytest.raises(ConfigurationError, match="of a SyncBus use dispatch_chain"):
        await chain(Part(key="a")).dispatch(SyncBus(NOWHERE))  # type: ignore[arg-type]


def test_fields_by_place_are_told_their_names() -> None:
    with pytest.raises(TypeError, match="Part takes its fields by name: key=…, gate=…, fails=…"):
        Part("a")  # type: ignore[call-arg]


def test_a_variable_travels_once() -> None:
    variable = ContextVar[str]("travels once")
    propagate(variable)
    propagate(variable)
    with pytest.raises(ConfigurationError, match="taken by another context variable"):
        propagate(ContextVar("another"), "travels once")


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"run_at": "tomorrow"}, "run_at='tomorrow' must be a datetime or UTC epoch seconds"),
        ({"expires_at": "x"}, "expires_at='x' must be a datetime or UTC epoch seconds"),
        ({"delay": 1e12}, "delay=1000000000000.0 must be .* end before the year 10000"),
        ({"delay": True}, "delay=True must be 0 seconds or more"),
        ({"delay": LATEST - 1}, "delay=.* must be .* end before the year 10000"),
        ({"run_at": True}, "run_at=True must be a datetime or UTC epoch seconds"),
        ({"run_at": LATEST}, "run_at=.* must be a datetime or UTC epoch seconds"),
        ({"confirm": "stord"}, "confirm='stord' must be 'broker' or 'stored'"),
        ({"headers": "x"}, "headers='x' must be a map whose keys are texts"),
        ({"headers": {1: 2}}, "headers=.* must be a map whose keys are texts"),
        ({"timeout": -1}, "timeout=-1 must be 0 seconds or more"),
        ({"timeout": "x"}, "timeout='x' must be 0 seconds or more"),
    ],
)
async def test_a_dispatch_that_makes_no_sense_is_refused_before_it_is_sent(
    asked: dict[str, Any], error: str
) -> None:
    for bus in (Bus(NOWHERE), fake().__enter__()):
        with pytest.raises(ConfigurationError, match=error):
            await bus.dispatch(Part(key="a"), **asked)


@pytest.mark.parametrize("when", [True, -1, LATEST - 1, float("inf"), float("nan")])
async def test_later_takes_a_moment_before_the_year_10000(when: float) -> None:
    for bus in (Bus(NOWHERE), fake().__enter__()):
        with pytest.raises(ConfigurationError, match=r"delay=.* must be 0 seconds or more"):
            await bus.later(when, Part(key="a"))
    with pytest.raises(ConfigurationError, match=r"delay=.* must be 0 seconds or more"):
        await Bus(NOWHERE).dispatch_named("Part", {}, delay=when)


async def test_the_last_day_of_the_year_9999_is_a_moment() -> None:
    with fake() as bus:
        await bus.later(datetime(9999, 12, 30, tzinfo=UTC), Part(key="a"))
        await bus.later(LATEST - time.time() - 3_600, Part(key="b"))
        assert len(bus.dispatched) == 2


async def test_what_a_bus_is_asked_for_is_looked_at_first() -> None:
    bus = Bus(NOWHERE)
    wrong: Any = 5
    for asked, error in (
        (bus.cancel(wrong), "cancel: job_id=5 must be the id that dispatch gave"),
        (bus.status(""), "status: job_id='' must be the id"),
        (bus.result(wrong), "result: job_id=5 must be the id"),
        (bus.result("a", -1), "result: timeout=-1 must be 0 seconds or more"),
        (bus.dispatch_named("", {}), "the job's name '' must be a printable text"),
        (bus.dispatch_named("Part", wrong), "data=5 of Part must be a map"),
        (bus.broadcast_named("Part", wrong), "data=5 of Part must be a map"),
        (bus.limit_queue("q", (0, 1)), r"limit_queue: rate=\(0, 1\) must be \(jobs, seconds\)"),
        (bus.broadcast(Part(key="a"), where=wrong), "where=5 must be a map of tags, all texts"),
        (bus.broadcast(Part(key="a"), where={"a": wrong}), "where={'a': 5} must be a map of tags"),
        (bus.broadcast(Part(key="a"), rate=wrong), r"rate=5 must be \(devices, seconds\)"),
        (bus.broadcast(Part(key="a"), abort_after=True), "abort_after=True must be a number"),
    ):
        with pytest.raises(ConfigurationError, match=error):
            await asked
    with pytest.raises(TypeError, match=r"bulk: Part\(.*\) is one job; give a list of jobs"):
        await bus.bulk(Part(key="a"))  # type: ignore[arg-type]


async def test_a_broker_that_is_away_is_told_by_whatever_is_asked_for() -> None:
    """Also where it is the first thing that a bus is asked for, and no time-out is its own."""
    bus = Bus(NOWHERE)
    with pytest.raises(ConnectionFailed, match="cannot reach a broker at mqtt:"):
        await bus.requests.call("queue.pause", queue="default", timeout=0.2)
    with pytest.raises(ResultTimeout, match=r"within 0\.2 s: cannot reach a broker"):
        await bus.result("some", timeout=0.2)
    await bus.close()


async def test_nobody_waits_for_ever_for_a_result_that_is_not_kept() -> None:
    handle: JobHandle[object] = JobHandle("some", Bus(NOWHERE))
    handle.is_untold = True
    with pytest.raises(
        NoResult, match=r"no result will be stored for job .*: set result_ttl in its class"
    ):
        await handle.result()


class ExitsInside(Job):
    max_tries = 1

    async def handle(self) -> None:
        sys.exit("somebody's main function")

    async def failed(self, error: BaseException) -> None:
        raise KeyboardInterrupt


async def test_a_job_that_exits_fails_and_its_worker_goes_on() -> None:
    async with fake(run=True) as bus:
        await bus.dispatch(ExitsInside())
        [record] = bus.failed
    assert record.error == (
        'RuntimeError: handle() raised SystemExit("somebody\'s main function"); a job ends by '
        "return, or by raise Fail(…)"
    )


def test_a_wrong_argument_of_a_bus_names_the_bus() -> None:
    with pytest.raises(TypeError, match=r"^Bus\.__init__\(\) got an unexpected .* 'timeout'"):
        Bus(timeout=3)  # type: ignore[call-arg]
