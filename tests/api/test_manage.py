"""What the command line can do, from Python: on a bus with a real scheduler, blocking and not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from routeq_mqtt import (
    ConfigurationError,
    Fail,
    Job,
    RequestFailed,
    SyncBus,
    every,
    job,
    trigger,
)
from routeq_mqtt.testing import MemoryBus, fake

RAN: list[str] = []
WORKS = {"now": False}


@job(queue="broken", max_tries=1, result_ttl=60)
async def breaks(number: int) -> int:
    if not WORKS["now"]:
        raise Fail(f"number {number}")
    return number


@job(queue="other", max_tries=1)
async def breaks_too() -> None:
    raise Fail("too")


@every(days=1)
@trigger("managed/{what}")
@job(result_ttl=60)
async def managed_tick(what: str = "tick") -> str:
    return what


async def test_failed_records_are_listed_in_pages_shown_retried_and_forgotten() -> None:
    WORKS["now"] = False
    async with MemoryBus("broken", "other") as bus:
        ids = [(await bus.dispatch(breaks.job(n))).id for n in range(5)]
        for one in ids:
            assert (await bus.handle(one).wait(20)).state == "failed"
        other = await bus.dispatch(breaks_too.job())
        assert (await bus.handle(other.id).wait(20)).state == "failed"

        assert {one.id for one in await bus.failed.list()} == {*ids, other.id}
        assert [one.id for one in await bus.failed.list("other")] == [other.id]
        assert [one.id for one in await bus.failed.list(job="breaks_too")] == [other.id]
        pages: list[str] = []
        page = await bus.failed.list("broken", limit=2)
        while page:
            assert len(page) <= 2
            pages += [one.id for one in page]
            page = await bus.failed.list("broken", limit=2, after=page[-1])
        assert len(pages) == 5
        assert set(pages) == set(ids)
        assert len([one async for one in bus.failed.all()]) == 6
        assert len([one async for one in bus.failed.all("broken", job="breaks")]) == 5

        record = await bus.failed.show(other)
        assert (record.job, record.reason, record.data) == ("breaks_too", "failed on purpose", {})
        WORKS["now"] = True
        again = await bus.failed.retry(ids[0], ids[1])
        assert again.retried == ids[:2]
        assert not again.skipped
        assert await bus.result(ids[0], 20) == 0
        assert await bus.failed.forget(ids[2]) == 1
        assert await bus.failed.forget(all=True, queue="other") == 1
        assert await bus.failed.flush("broken") == 2
        assert await bus.failed.list() == []
        with pytest.raises(RequestFailed):
            await bus.failed.show("none")


@pytest.mark.parametrize(
    ("method", "arguments", "options", "wrong"),
    [
        ("list", (), {"limit": 0}, "limit=0 must be 1 to 1000"),
        ("list", ("a/b",), {}, "failed.list: queue"),
        ("retry", (), {}, "name ids, or say all=True"),
        ("retry", ("a",), {"all": True}, "name ids, or say all=True"),
        ("forget", ("a",), {"queue": "b"}, "goes with all=True"),
        ("show", ("",), {}, "must be the id"),
    ],
)
async def test_wrong_questions_fail_before_they_are_asked(
    method: str, arguments: Any, options: Any, wrong: str
) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        await getattr(MemoryBus().failed, method)(*arguments, **options)


async def test_queues_workers_schedules_triggers_and_devices() -> None:
    async with MemoryBus() as bus:
        await bus.queues["default"].pause()
        await bus.queues["default"].limit((100, 1))
        size = await bus.queues["default"].size()
        assert (size.paused, size.rate) == (True, (100, 1))
        await bus.bulk([managed_tick.job()] * 3, confirm="stored")
        assert (await bus.queues.sizes())["default"].total == 3
        assert await bus.queues["default"].purge() == 3
        await bus.queues["default"].limit(None)
        await bus.queues["default"].resume()
        assert not (await bus.queues["default"].size()).paused

        worker = await bus.worker("default")
        [one] = await bus.workers()
        assert (one.state, one.queues, one.drained) == ("online", ("default",), False)
        assert worker.online.is_set()
        async with asyncio.timeout(20):
            while not await bus.schedules.list():
                await asyncio.sleep(0)
        [entry] = [one for one in await bus.schedules.list() if one.name == "managed_tick"]
        assert (entry.job, entry.every, entry.paused) == ("managed_tick", 86_400, False)
        ran = await bus.schedules.run("managed_tick")
        assert (await bus.handle(ran, managed_tick).wait(20)).state == "done"
        await bus.schedules.pause("managed_tick")
        assert {one.name: one.paused for one in await bus.schedules.list()}["managed_tick"]
        assert await bus.schedules.resume("managed_tick") > 0
        await bus.schedules.forget("managed_tick")
        assert not [one for one in await bus.schedules.list() if one.name == "managed_tick"]
        assert not await bus.triggers.forget("nobody/declares/this")
        assert await bus.triggers.list() == []
        assert await bus.devices.list() == await bus.devices() == []
        with pytest.raises(RequestFailed):
            await bus.devices.forget("nobody")
        with pytest.raises(ConfigurationError, match="queues"):
            bus.queues["a/b"]


async def test_a_blocking_bus_manages_as_well() -> None:
    WORKS["now"] = False

    async with MemoryBus("broken") as bus:
        handle = await bus.dispatch(breaks.job(7))
        await handle.wait(20)
        loop = asyncio.get_running_loop()
        sync = SyncBus()

        class Elsewhere:
            """The engine of a bus that lives in the loop of this test."""

            def run(self, method: Any, *args: Any, **kwargs: Any) -> Any:
                coroutine = method(bus, *args, **kwargs)
                return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

        def program() -> None:
            assert [one.id for one in sync.failed.list("broken")] == [handle.id]
            assert sync.failed.show(handle.id).error == "Fail: number 7"
            sync.queues["broken"].pause()
            assert sync.queues["broken"].size().paused
            sync.queues["broken"].resume()
            assert sync.queues["broken"].limit(None) is None
            assert sync.queues["broken"].purge() == 0
            assert sync.queues.sizes()["broken"].failed == 1
            assert [one.queues for one in sync.workers()] == [("broken",)]
            assert sync.failed.retry(handle.id).retried == [handle.id]
            assert sync.failed.forget(all=True) >= 0
            assert sync.failed.flush() >= 0
            assert isinstance(sync.schedules.list(), list)
            assert [*sync.triggers.list(), *sync.devices.list()] == []

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SyncBus, "engine", property(lambda self: Elsewhere()))
            await asyncio.to_thread(program)


async def test_the_records_of_a_fake_bus_are_a_sequence() -> None:
    class FailsHere(Job, max_tries=1):
        async def handle(self) -> None:
            raise Fail("here")

    async with fake(run=True) as bus:
        assert bus.failed == []
        await bus.dispatch(FailsHere())
        assert len(bus.failed) == 1
        assert bus.failed[0].job == "FailsHere"
        with pytest.raises(ConfigurationError):
            await bus.failed.list()
