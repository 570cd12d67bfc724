"""Handles of jobs: an id, and ways to ask what became of it."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from routeq_mqtt import Fail, Job, JobFailed, NoResult, SyncBus, dispatch
from routeq_mqtt.testing import MemoryBus, fake


class Doubles(Job, result_ttl=60):
    n: int

    async def handle(self) -> int:
        if self.n < 0:
            raise Fail("below zero")
        return 2 * self.n


class DoublesUnkept(Job):
    n: int = 1

    def handle(self) -> int:
        return 2 * self.n


async def test_a_handle_is_its_id_and_knows_the_end_of_the_job() -> None:
    async with MemoryBus("default") as bus:
        handle = await bus.dispatch(Doubles(n=4))
        assert str(handle) == handle.id == handle
        assert {handle: 1}[handle.id] == 1  # type: ignore[index]
        assert pickle.loads(pickle.dumps(handle)) == handle.id  # noqa: S301
        assert repr(handle) == f"JobHandle('{handle.id}')"
        assert not hasattr(handle, "upper")
        assert await handle.result(10) == 8
        assert (await handle.wait(10)).state == (await handle.status()).state == "done"
        assert await bus.handle(handle.id).result(10) == 8

        failed = await bus.dispatch(Doubles(n=-1))
        status = await failed.wait(10)
        assert (status.state, status.error) == ("failed", "Fail: below zero")
        with pytest.raises(JobFailed):
            await failed.result(10)
        with pytest.raises(NoResult, match="set result_ttl"):
            await (await bus.dispatch(DoublesUnkept())).wait()
        later = await bus.later(60, Doubles(n=1))
        assert await later.cancel() == "cancelled"
        assert (await later.wait(10)).state == "cancelled"


async def test_a_fake_bus_gives_the_same_handles() -> None:
    async with fake(run=True):
        handle = await dispatch(Doubles(n=5))
        assert await handle.result() == 10
        assert (await handle.wait()).state == "done"
        assert (await (await dispatch(Doubles(n=-1))).wait()).state == "failed"


def test_handles_of_a_blocking_bus_block() -> None:
    with fake(run=True):
        bus = SyncBus()
        handle = bus.dispatch(Doubles(n=3))
        assert handle.result() == bus.result(handle) == bus.result(handle.id) == 6
        assert handle.wait().state == handle.status().state == bus.wait(handle.id).state == "done"
        assert bus.push(Doubles(n=1)).result(1) == 2
        assert bus.later(60, Doubles(n=1)).cancel() == "cancelled"
        assert bus.dispatch_named("Doubles", {"n": 7}).result() == 14
        assert bus.handle(handle.id) == handle
        assert asyncio.run(handle.handle.status()).state == "done"
