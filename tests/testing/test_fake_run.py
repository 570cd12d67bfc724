"""`fake(run=True)`: jobs run when they are dispatched, delayed ones by time travel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from routeq_mqtt import (
    ConfigurationError,
    JobEvent,
    JobFailed,
    NoResult,
    ResultTimeout,
    SyncBus,
    chain,
    dispatch,
    on,
    queue,
    remove_hook,
)
from routeq_mqtt.testing import FakeBus, fake
from tests.testing.jobs import (
    Again,
    Charge,
    Impatient,
    Limited,
    Locked,
    Mail,
    Other,
    Parent,
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
    assert (record.id, record.reason, len(record.attempts)) == (handle, "exception", 3)
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


async def test_what_a_scheduler_decides_is_refused(bus: FakeBus) -> None:
    with pytest.raises(ConfigurationError, match=r"unique_key.*MemoryBus"):
        await dispatch(Single())
    with pytest.raises(ConfigurationError, match="chain"):
        await chain(Other(), Other()).dispatch()
    bus.assert_nothing_dispatched()
    await queue.bulk([Limited(), Limited()])
    assert ran == ["limited", "limited"]


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


def test_a_program_without_an_event_loop_runs_inline(bus: FakeBus) -> None:
    real = SyncBus("mqtt://127.0.0.1:1")  # nobody listens there
    assert real.result(real.dispatch(Sum(numbers=[2, 3]))) == 5
    real.dispatch(Parent(), delay=5)
    asyncio.run(bus.travel(15))
    assert ran == ["parent", ("mail", "child"), ("mail", "grandchild")]
