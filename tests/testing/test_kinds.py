"""Fakes, fixtures and the bus in memory know functions, what is injected, and all data types."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from routeq_mqtt import Depends, SyncBus, batch, chain, job, worker_state
from routeq_mqtt.testing import FakeBus, MemoryBus, fake, override, worker_life
from tests.api.typed_jobs import Colour, Line

made: list[str] = []


def database() -> Iterator[str]:
    made.append("opened")
    yield "database"
    made.append("closed")


async def pool() -> int:
    return int(worker_state().size)


@job(result_ttl=60)
def price(line: Line, *, db: str = Depends(database)) -> dict[Colour, tuple[Line, str]]:
    return {Colour.RED: (line, db)}


@job(result_ttl=60)
async def room(factor: int, size: int = Depends(pool, scope="worker")) -> int:
    return factor * size


@job(result_ttl=60, executor="process")
def far(line: Line) -> Line:
    return line


LINE = Line(Decimal("1.50"), [Path("/a")])
PRICED = {Colour.RED: (LINE, "database")}


async def test_an_inline_run_injects_and_gives_rich_results() -> None:
    made.clear()
    async with worker_life() as state, fake(run=True) as bus:
        state.size = 7
        assert await (await price.dispatch(LINE)).result() == PRICED
        assert made == ["opened", "closed"]
        assert await (await room.dispatch(3)).result() == 21
        assert await (await far.dispatch(LINE)).result() == LINE
        with override(database, lambda: "other"):
            assert await (await price.dispatch(LINE)).result() == {Colour.RED: (LINE, "other")}
        steps = await chain(price.job(LINE), room.job(2)).dispatch()
        assert await bus.result(steps[1]) == 14
        progress = await (await batch([price.job(LINE), far.job(LINE)]).dispatch()).progress()
        assert (progress.total, progress.pending, progress.failed) == (2, 0, 0)
        assert len(bus.assert_dispatched(price, lambda call: call.line == LINE)) == 4


def test_a_blocking_bus_and_the_fixture(routeq_fake: FakeBus) -> None:
    SyncBus().dispatch(price.job(LINE), delay=3)
    asyncio.run(room.options(queue="slow").dispatch(2))
    routeq_fake.assert_dispatched(price, lambda call: call.line == LINE, delay=3)
    routeq_fake.assert_dispatched(room, lambda call: call.factor == 2, queue="slow")


@pytest.mark.routeq_fake(run=True)
def test_the_fixture_runs_functions(routeq_fake: FakeBus) -> None:
    assert SyncBus().dispatch(price.job(LINE)).result(3) == PRICED
    assert not routeq_fake.failed


async def test_a_bus_in_memory() -> None:
    made.clear()
    async with MemoryBus("default") as bus:
        assert await (await bus.dispatch(price.job(LINE))).result(20) == PRICED
        assert made == ["opened", "closed"]
        assert await (await bus.dispatch(far.job(LINE))).result(20) == LINE
