"""`fake()`: what a program dispatches is recorded, and a test can ask for it."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from routeq_mqtt import (
    Bus,
    ConfigurationError,
    PackingError,
    PayloadTooLarge,
    ResultTimeout,
    SyncBus,
    chain,
    default_bus,
    dispatch,
    queue,
    use_bus,
)
from routeq_mqtt.jobs.job import data_of
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import fake
from tests.testing.jobs import Anything, Mail, Other, Single, UrgentMail, ran


async def test_it_stands_in_for_the_default_bus_while_it_lasts() -> None:
    mine = Bus()
    use_bus(mine)
    with fake() as bus:
        assert default_bus() is bus
        await dispatch(Mail(to="ada"))
        async with fake() as inner:
            await dispatch(Mail(to="grace"))
            assert [data_of(one.job)["to"] for one in inner.dispatched] == ["grace"]
        assert [data_of(one.job)["to"] for one in bus.dispatched] == ["ada"]
    assert default_bus() is mine


async def test_it_goes_when_the_test_fails() -> None:
    mine = Bus()
    use_bus(mine)
    with pytest.raises(ZeroDivisionError):
        async with fake():
            raise ZeroDivisionError
    assert default_bus() is mine


async def test_each_way_to_dispatch_is_recorded() -> None:
    with fake() as bus:
        await dispatch(Mail(to="1"), headers={"trace": "x"})
        await queue.push(Mail(to="2"), queue="other")
        await queue.later(60, Mail(to="3"))
        ids = await queue.bulk([Mail(to=str(number)) for number in range(4, 1204)])
        await default_bus().dispatch(Mail(to="stored"), confirm="stored")
        await default_bus().dispatch_named("nobody.knows", {"a": 1})
        await chain(Mail(to="first"), Other()).dispatch()
        await dispatch(Single())
        assert [one.id for one in bus.dispatched[3:1203]] == ids
        assert [data_of(one.job)["to"] for one in bus.dispatched[:1204]] == [
            *map(str, range(1, 1204)),
            "stored",
        ]
        assert bus.dispatched[0].headers == {"trace": "x"}
        assert [one.name for one in bus.dispatched[1204:]] == [
            "nobody.knows",
            Mail.name,
            Other.name,
            Single.name,
        ]
        sizes = await queue.size("mail")
        assert (sizes.delayed, sizes.parked) == (1, 1203)
        assert (await queue.stats("other"))["total"] == 1


def test_a_program_without_an_event_loop_is_recorded() -> None:
    real = SyncBus("mqtt://127.0.0.1:1")  # nobody listens there
    before = set(threading.enumerate())
    with fake() as bus:
        handle = real.dispatch(Mail(to="ada"))
        real.later(60, Mail(to="grace"))
        assert real.bulk([Other()]) == [bus.dispatched[2].id]
        assert bus.dispatched[0].id == handle
        assert real.size("mail").total == 2
        assert real.status(handle).state == "waiting"
        with pytest.raises(ResultTimeout, match=r"use fake\(run=True\)"):
            real.result(handle)
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert "routeq-bus" not in names


def test_threads_and_later_event_loops_are_recorded() -> None:
    def work() -> None:
        asyncio.run(dispatch(Mail(to="thread")))

    with fake() as bus:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        asyncio.run(dispatch(Mail(to="loop")))
        assert len(bus.assert_dispatched(Mail)) == 2


async def test_what_was_dispatched_is_found() -> None:
    with fake() as bus:
        await dispatch(Mail(to="a@b.c", parts=(1, 2)))
        await dispatch(UrgentMail(to="a@b.c"), queue="urgent", delay=5)
        await dispatch(Other(), run_at=datetime.now(UTC) + timedelta(hours=1))

        [one] = bus.assert_dispatched(Mail, lambda mail: mail.parts == (1, 2), queue="mail")
        assert one.delay is None
        bus.assert_dispatched(Mail, times=2)  # one of a class below, too
        bus.assert_dispatched(Mail, lambda mail: mail.to == "a@b.c", delay=5, times=1)
        bus.assert_dispatched(Mail, delay=0, times=1)
        bus.assert_dispatched(Other, delay=pytest.approx(3600, abs=60))
        bus.assert_dispatched(Single, times=0)
        bus.assert_not_dispatched(Single)
        bus.assert_not_dispatched(Mail, queue="default")
        bus.assert_not_dispatched(Mail, lambda mail: mail.to == "grace")


async def test_a_failure_says_what_was_dispatched_instead() -> None:
    with fake() as bus:
        with pytest.raises(AssertionError, match=r"Mail was not dispatched\. Nothing was disp"):
            bus.assert_dispatched(Mail)
        bus.assert_nothing_dispatched()
        await dispatch(Mail(to="ada"), delay=60)
        await dispatch(Other())
        with pytest.raises(AssertionError) as wrong:
            bus.assert_dispatched(Mail, lambda mail: mail.to == "grace", queue="mail", delay=60)
        assert str(wrong.value) == (
            "Mail on queue 'mail' due in 60 s that fits the given function was not dispatched. "
            "Dispatched were:\n"
            "  1. fake.Mail(to='ada', parts=()) on queue 'mail', due in 60 s\n"
            "  2. fake.Other() on queue 'default'"
        )
        with pytest.raises(AssertionError, match="Mail was dispatched once, not 2 times"):
            bus.assert_dispatched(Mail, times=2)
        with pytest.raises(AssertionError, match="Other due at once was dispatched once"):
            bus.assert_not_dispatched(Other, delay=0)
        with pytest.raises(AssertionError, match=r"2 jobs were dispatched\. Dispatched were:\n"):
            bus.assert_nothing_dispatched()
        await queue.bulk([Other() for _ in range(30)])
        with pytest.raises(AssertionError, match="and 12 more"):
            bus.assert_nothing_dispatched()


async def test_a_job_must_pack_as_for_the_real_bus() -> None:
    def holding(value: Any) -> Anything:
        job = Anything()
        job.value = value
        return job

    with fake(settings=Settings(max_payload=1_000)) as bus:
        with pytest.raises(PackingError, match="value"):
            await dispatch(holding(object()))
        with pytest.raises(PayloadTooLarge, match="max_payload=1000"):
            await dispatch(holding("x" * 2_000))
        with pytest.raises(TypeError, match="is not a job"):
            await dispatch("Mail")  # type: ignore[call-overload]
        with pytest.raises(ConfigurationError, match="delay=-1"):
            await dispatch(Mail(to="ada"), delay=-1)
        with pytest.raises(ConfigurationError, match="queue"):
            await dispatch(Mail(to="ada"), queue="a/b")
        bus.assert_nothing_dispatched()


async def test_a_recorded_job_can_be_asked_for_and_cancelled() -> None:
    with fake() as bus:
        now = await dispatch(Mail(to="now"))
        later = await dispatch(Mail(to="later"), delay=60)
        assert [(await one.status()).state for one in (now, later)] == ["waiting", "delayed"]
        assert [await now.cancel(), await now.cancel()] == ["cancelled", "over"]
        assert (await now.status()).state == "cancelled"
        assert (await bus.size("mail")).as_dict()["total"] == 1
        assert await bus.cancel("unknown") == "asked"


async def test_what_needs_a_broker_or_running_jobs_says_so() -> None:
    with fake() as bus:
        with pytest.raises(ConfigurationError, match="MemoryBus"):
            await bus.pause("mail")
        with pytest.raises(ConfigurationError, match=r"travel: .* use fake\(run=True\)"):
            await bus.travel(60)
        with pytest.raises(ConfigurationError, match="failed"):
            _ = bus.failed


async def test_nothing_runs() -> None:
    ran.clear()
    with fake() as bus:
        await dispatch(Mail(to="ada"))
        await dispatch(Mail(to="ada"), run_at=time.time() - 5)
        assert [one.delay for one in bus.dispatched] == [None, pytest.approx(-5, abs=60)]
    assert ran == []


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"job": "Mail"}, "'Mail' must be a job class, not in quotes"),
        ({"job": int}, "<class 'int'> must be a job class"),
        ({"where": "a@b.c"}, "where='a@b.c' must be a function of a job"),
        ({"queue": 5}, "queue=5 must be the name of a queue"),
        ({"delay": "1"}, "delay='1' must be seconds"),
    ],
)
async def test_a_slip_in_an_assertion_lets_no_test_pass(asked: dict[str, Any], error: str) -> None:
    asked = {"job": Mail, **asked}
    with fake() as bus:
        for check in (bus.assert_dispatched, bus.assert_not_dispatched):
            with pytest.raises(ConfigurationError, match=error):
                check(**asked)
        with pytest.raises(ConfigurationError, match="times=-1 must be a whole number"):
            bus.assert_dispatched(Mail, times=-1)


@pytest.mark.parametrize("wrong", [{"run": "yes"}, {"settings": 5}])
def test_a_fake_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"fake: {next(iter(wrong))}="):
        fake(**wrong).__enter__()
