"""Pages of batches, limits and unique keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routeq_mqtt import Bus, Job, RequestFailed
from routeq_mqtt.bus.workflows import batch, chain
from routeq_mqtt.wire.observe.lists import BatchList, ChainList, LimitList, LockList, RolloutList
from tests.observe.rig import Obstructed, Rig, Tallied, gates, rig


class OnceListed(Job):
    unique_for = 3600.0
    key: str

    def unique_key(self) -> str:
        return self.key

    async def handle(self) -> None:
        pass


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[tuple[Rig, Bus]]:
    async with rig(tmp_path) as made:
        yield made


async def test_batches_are_listed_newest_first_in_pages(bed: tuple[Rig, Bus]) -> None:
    _, bus = bed
    made = [
        await bus.dispatch_batch(batch([Tallied(key="a"), Tallied(key="b")], name=name))
        for name in ("first", "second", "third")
    ]
    page = await bus.requests.ask(BatchList(limit=2))
    rest = await bus.requests.ask(BatchList(limit=2, cursor=page.next))
    assert [one.id for one in (*page.rows, *rest.rows)] == made[::-1]
    assert (page.rows[0].name, page.rows[0].total, rest.next) == ("third", 2, None)


async def test_limits_say_what_they_admit(bed: tuple[Rig, Bus]) -> None:
    _, bus = bed
    for queue in ("a", "b", "c"):
        await bus.limit_queue(queue, (100, 60))
    page = await bus.requests.ask(LimitList(limit=2))
    rest = await bus.requests.ask(LimitList(cursor=page.next))
    rows = [*page.rows, *rest.rows]
    assert [(one.kind, one.name) for one in rows] == [("queue", name) for name in "abc"]
    assert (rows[0].most, rows[0].seconds, rest.next) == (100, 60, None)


async def test_unique_keys_name_the_job_that_holds_them(bed: tuple[Rig, Bus]) -> None:
    _, bus = bed
    jobs = {key: str(await bus.dispatch(OnceListed(key=key))) for key in ("x", "y", "z")}
    page = await bus.requests.ask(LockList(limit=2))
    rest = await bus.requests.ask(LockList(cursor=page.next))
    assert {one.job for one in (*page.rows, *rest.rows)} == set(jobs.values())
    assert all(one.kind == "OnceListed" and one.until > 0 for one in page.rows)


@pytest.mark.parametrize("cursor", ["x", "WzFd", "WyJhIiwiYiJd"])
async def test_a_cursor_of_another_list_is_refused(bed: tuple[Rig, Bus], cursor: str) -> None:
    bus = bed[1]
    with pytest.raises(RequestFailed, match="cursor"):
        await bus.requests.ask(BatchList(cursor=cursor))
    with pytest.raises(RequestFailed, match="cursor"):
        await bus.requests.ask(LimitList(cursor=cursor))
    with pytest.raises(RequestFailed, match="cursor"):
        await bus.requests.ask(LockList(cursor=cursor))


async def test_a_chain_says_whose_turn_it_is(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    gates["g"] = asyncio.Event()
    await one.start_worker("default")
    ids = await chain(Tallied(key="a"), Obstructed(key="g"), Tallied(key="c")).dispatch(bus)
    while True:
        page = await bus.requests.ask(ChainList())
        [row] = page.rows
        if (row.current, row.state) == (ids[1], "released"):
            break
    assert (row.queue, row.steps, row.over, page.next) == ("default", 3, 1, None)
    gates["g"].set()
    while (await bus.requests.ask(ChainList())).rows[0].state != "over":
        await asyncio.sleep(0)


async def test_chains_are_paged_and_those_of_batches_are_left_out(bed: tuple[Rig, Bus]) -> None:
    _, bus = bed
    for _ in range(3):
        await chain(Tallied(key="a"), Tallied(key="b")).dispatch(bus)
    await batch([Tallied(key="c")]).then(Tallied(key="d")).dispatch(bus)
    first = await bus.requests.ask(ChainList(limit=2))
    second = await bus.requests.ask(ChainList(limit=2, cursor=first.next))
    assert (len(first.rows), len(second.rows), second.next) == (2, 1, None)
    assert len({row.id for row in (*first.rows, *second.rows)}) == 3


async def test_rollouts_are_listed_newest_first_in_pages(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await one.start_worker("default", name="pump-1")
    while not (await bus.devices.list()):
        await asyncio.sleep(0)
    made = [
        (await bus.broadcast(Obstructed(key="never"), rate=(1, 3600.0), abort_after=1)).id
        for _ in range(3)
    ]
    await bus.broadcast(Obstructed(key="never"))  # all at once: it has nothing to go on with
    page = await bus.requests.ask(RolloutList(limit=2))
    rest = await bus.requests.ask(RolloutList(limit=2, cursor=page.next))
    assert [row.id for row in (*page.rows, *rest.rows)] == made[::-1]
    first = page.rows[0]
    assert (first.name, first.total, first.every, first.aborted_at) == ("Obstructed", 1, 3600, None)
    assert rest.next is None
