"""`fake(run=True)`: jobs run when they are dispatched, delayed ones by time travel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from routeq_mqtt import (
    BatchHandle,
    ConfigurationError,
    JobEvent,
    JobFailed,
    NoResult,
    RequestFailed,
    ResultTimeout,
    SyncBus,
    batch,
    chain,
    dispatch,
    on,
    queue,
    remove_hook,
)
from routeq_mqtt.testing import FakeBus, fake
from tests.testing.jobs import (
    Again,
    Breaks,
    Charge,
    Grows,
    Impatient,
    Last,
    Limited,
    Locked,
    Mail,
    Other,
    Parent,
    Seldom,
    Single,
    Sum,
    ran,
)


@pytest.fixture
def bus() -> Iterator[FakeBus]:
    ran.clear()
    with fake(run=True) as one:
        yield one


async def test_a_job_has_run_when_its_dispatch_returns(bus: FakeBus) -> None:
    mail = await dispatch(Mail(to="ada"))
    assert ran == [("mail", "ada")]
    total = await dispatch(Sum(numbers=[1, 2, 3]))
    assert await total.result() == 6
    assert (await total.status()).state == "done"
    with pytest.raises(NoResult, match="set result_ttl"):
        await mail.result()
    bus.assert_dispatched(Mail, times=1)
    assert bus.failed == []


async def test_attempts_follow_at_once(bus: FakeBus) -> None:
    before = time.time()
    await dispatch(Charge(card="4711"))
    assert ran == [("attempt", 1), ("attempt", 2)]
    later = await dispatch(Mail(to="ada"), run_at=datetime.now(UTC) + timedelta(seconds=60))
    assert (await later.status()).state == "delayed"  # what the attempts wait is theirs alone
    assert bus.failed == []
    assert time.time() - before < 60


async def test_a_job_out_of_tries_is_a_failed_record(bus: FakeBus) -> None:
    handle = await dispatch(Charge(card="stolen"))
    assert ran == [
        *(("attempt", number) for number in (1, 2, 3)),
        ("gave up", "this card is stolen"),
    ]
    [record] = bus.failed
    assert (record.id, record.reason, len(record.attempts)) == (handle.id, "exception", 3)
    assert record.error == "PermissionError: this card is stolen"
    with pytest.raises(JobFailed, match="this card is stolen"):
        await handle.result()
    assert (await queue.size("default")).failed == 1


async def test_the_time_between_attempts_counts(bus: FakeBus) -> None:
    await dispatch(Impatient())
    assert ran == [1, 2, 3]  # at 0, 40 and 80 seconds
    assert [record.reason for record in bus.failed] == ["retry_until"]


async def test_a_late_job_is_too_late(bus: FakeBus) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    await dispatch(Mail(to="ada"), delay=60, expires_at=soon)
    await bus.travel(60)
    assert ran == []
    assert [record.reason for record in bus.failed] == ["expired"]


async def test_delayed_jobs_run_in_order_when_time_reaches_them(bus: FakeBus) -> None:
    await dispatch(Mail(to="second"), delay=20)
    await dispatch(Mail(to="first"), delay=10)
    third = await dispatch(Mail(to="third"), run_at=datetime.now(UTC) + timedelta(seconds=30))
    assert (await third.status()).state == "delayed"
    with pytest.raises(ResultTimeout, match="travel to its time"):
        await third.result()
    assert (await bus.size("mail")).delayed == 3
    await bus.travel(20)
    assert ran == [("mail", "first"), ("mail", "second")]
    await bus.travel_to(datetime.now(UTC) + timedelta(seconds=30))
    assert ran[2:] == [("mail", "third")]


async def test_a_cancelled_job_does_not_run(bus: FakeBus) -> None:
    handle = await dispatch(Mail(to="ada"), delay=10)
    assert await handle.cancel() == "cancelled"
    await bus.travel(10)
    assert ran == []
    assert (await handle.status()).state == "cancelled"


async def test_a_released_job_waits_for_its_time(bus: FakeBus) -> None:
    handle = await dispatch(Locked())
    assert (await handle.status()).state == "delayed"
    await bus.travel(29)
    assert ran == [("try", 1)]
    await bus.travel(1)
    assert ran == [("try", 1), ("try", 1)]
    assert (await handle.status()).state == "done"


async def test_jobs_of_jobs_run_behind_them_and_in_their_time(bus: FakeBus) -> None:
    await dispatch(Parent(), delay=10)
    await bus.travel(20)  # its own delayed job is due at 20
    assert ran == ["parent", ("mail", "child"), ("mail", "grandchild")]
    assert [one.job.job_id for one in bus.dispatched] == [one.id for one in bus.dispatched]


async def test_jobs_without_an_end_are_an_error(bus: FakeBus) -> None:
    with pytest.raises(ConfigurationError, match="more than 1000 runs"):
        await asyncio.wait_for(dispatch(Again()), 60)
    assert bus.failed == []  # none of the jobs hears of it: the test does


async def test_what_else_a_scheduler_does_is_refused(bus: FakeBus) -> None:
    with pytest.raises(ConfigurationError, match=r"queue.pause.*MemoryBus"):
        await bus.pause("mail")
    await queue.bulk([Limited(), Limited()])
    assert ran == ["limited", "limited"]


async def test_a_unique_job_is_there_once_until_it_is_over(bus: FakeBus) -> None:
    first = await dispatch(Single(), delay=10)
    assert await dispatch(Single()) == first
    assert await queue.bulk([Single()]) == [first]
    bus.assert_dispatched(Single, times=3)
    await bus.travel(10)
    assert ran == ["single"]
    assert await dispatch(Single()) != first
    assert ran == ["single", "single"]
    waits = await dispatch(Single(), delay=10)
    assert await waits.cancel() == "cancelled"
    assert await dispatch(Single()) != waits
    lapses = await dispatch(Single(), delay=100)
    await bus.travel(61)
    assert await dispatch(Single()) != lapses


async def test_of_debounced_jobs_the_last_one_runs_and_of_throttled_ones_the_first(
    bus: FakeBus,
) -> None:
    ids = set()
    for number in range(3):
        ids.add(await dispatch(Last(number=number)))
        await bus.travel(5)
    assert (len(ids), ran) == (1, [])
    await bus.travel(5)
    assert ran == [("last", 2)]
    first = await dispatch(Seldom(number=1))
    assert await dispatch(Seldom(number=2)) == first
    await bus.travel(61)
    assert await dispatch(Seldom(number=3)) != first
    assert ran[1:] == [("seldom", 1), ("seldom", 3)]


async def test_a_chain_runs_in_order_and_stops_where_a_job_fails(bus: FakeBus) -> None:
    await chain(Mail(to="1"), Mail(to="2"), Mail(to="3")).dispatch(delay=10)
    assert (await bus.size("mail")).held == 2
    await bus.travel(10)
    assert ran == [("mail", "1"), ("mail", "2"), ("mail", "3")]
    ids = await chain(Breaks(), Mail(to="never")).dispatch()
    assert (await bus.status(ids[1])).state == "held"
    assert len(bus.failed) == 1
    ids = await chain(Mail(to="x"), Mail(to="y"), Mail(to="z")).dispatch(delay=10)
    assert await bus.cancel(ids[1]) == "cancelled"
    await bus.travel(10)
    assert [(await bus.status(job_id)).state for job_id in ids] == ["done"] + ["cancelled"] * 2


async def test_a_batch_runs_its_callbacks(bus: FakeBus) -> None:
    handle = await (
        batch([Mail(to="a"), Grows()], name="mails")
        .then(Mail(to="then")).catch(Mail(to="catch")).finally_(Mail(to="finally"))
        .dispatch()
    )  # fmt: skip
    assert ran == [
        ("mail", "a"), "grows", ("mail", "more"), ("mail", "then"), ("mail", "finally"),
    ]  # fmt: skip
    progress = await handle.progress()
    assert (progress.name, progress.total, progress.done) == ("mails", 3, 3)
    assert progress.finished_at is not None
    with pytest.raises(RequestFailed, match=r"no batch has the id 'none'$"):
        await BatchHandle("none").progress()


async def test_a_batch_with_a_failure_and_one_that_is_cancelled(bus: FakeBus) -> None:
    await (
        batch([Breaks(), Mail(to="a")])
        .then(Mail(to="then")).catch(Mail(to="catch")).finally_(Mail(to="finally")).dispatch()
    )  # fmt: skip
    assert ran == [("mail", "a"), ("mail", "catch"), ("mail", "finally")]
    ran.clear()
    handle = await batch([Locked()]).finally_(Mail(to="over")).dispatch()
    progress = await handle.cancel()
    assert (progress.cancelled, progress.called_off) == (1, True)
    await handle.add([Mail(to="too late")])
    assert (await handle.progress()).cancelled == 2
    await bus.travel(3600)
    assert ran == [("try", 1), ("mail", "over")]


async def test_a_batch_of_several_messages_begins_as_a_whole(bus: FakeBus) -> None:
    handle = await batch(Mail(to=str(n)) for n in range(1_100)).then(Other()).dispatch()
    assert (await handle.progress()).done == 1_100
    assert [to for _, to in ran[:1_100]] == [str(n) for n in range(1_100)]


async def test_hooks_hear_what_happens(bus: FakeBus) -> None:
    heard: list[str] = []

    def hook(event: JobEvent) -> None:
        heard.append(event.event)

    on()(hook)
    try:
        await dispatch(Charge(card="4711"))
        await queue.bulk([Other()])
    finally:
        remove_hook(hook)
    first = ["dispatched", "started", "retried", "started", "done"]
    assert heard == [*first, "dispatched", "started", "done"]


async def test_time_only_goes_forward(bus: FakeBus) -> None:
    with pytest.raises(ConfigurationError, match="-1"):
        await bus.travel(-1)
    with pytest.raises(ConfigurationError, match="is past"):
        await bus.travel_to(datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("wrong", [timedelta(days=1), "5", None, True, float("nan"), 1e300])
async def test_time_goes_to_a_moment_that_there_is(bus: FakeBus, wrong: Any) -> None:
    for travel in (bus.travel, bus.travel_to):
        with pytest.raises(ConfigurationError, match=r"^travel"):
            await travel(wrong)
    await dispatch(Charge(card="4711"))  # its clock is as it was


async def test_who_waits_for_a_held_job_is_told_what_for(bus: FakeBus) -> None:
    _, held = await chain(Breaks(), Sum(numbers=[1])).dispatch()
    with pytest.raises(ResultTimeout, match=r"it is held; .* look at bus.failed"):
        await bus.result(held)


async def test_a_batch_that_is_over_is_not_called_off(bus: FakeBus) -> None:
    over = await batch([]).dispatch()
    assert not (await over.cancel()).called_off
    await over.add([Sum(numbers=[1])])
    assert (await over.progress()).done == 1


def test_a_program_without_an_event_loop_runs_inline(bus: FakeBus) -> None:
    real = SyncBus("mqtt://127.0.0.1:1")  # nobody listens there
    assert real.result(real.dispatch(Sum(numbers=[2, 3]))) == 5
    real.dispatch(Parent(), delay=5)
    asyncio.run(bus.travel(15))
    assert ran == ["parent", ("mail", "child"), ("mail", "grandchild")]
