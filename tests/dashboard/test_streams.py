"""Server-sent events: only what has changed, few for each browser, ended when the server stops."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from routeq_mqtt.dashboard.live.state import State, difference
from routeq_mqtt.dashboard.live.streams import FOR_EACH_BROWSER, IN_ALL, POLL, Streams
from tests.dashboard.clock import ManualClock


class Source:
    """Facts that a test sets, and how often they were collected."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {"queue/a": {"n": 1}, "queue/b": {"n": 1}}
        self.collected = 0

    async def collect(self) -> dict[str, Any]:
        self.collected += 1
        return dict(self.facts)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def streams(source: Source, clock: ManualClock) -> Streams:
    return Streams(State(source.collect, clock), clock, longest=30.0)


async def told(events: AsyncIterator[str]) -> dict[str, Any]:
    """The next message that is not a direction to the browser."""
    async for event in events:
        if "data: {" in event and not event.startswith("event: poll"):
            message: dict[str, Any] = json.loads(event.partition("data: ")[2])
            return message
    raise AssertionError("the stream has ended")


async def test_a_stream_begins_with_everything_and_goes_on_with_changes(
    streams: Streams, source: Source, clock: ManualClock
) -> None:
    events = streams.follow("firefox")
    assert (await told(events))["set"] == source.facts
    source.facts = {"queue/a": {"n": 2}, "queue/c": {}}
    clock.pass_(1.0)
    change = await told(events)
    assert change["set"] == {"queue/a": {"n": 2}, "queue/c": {}}
    assert change["gone"] == ["queue/b"]
    clock.pass_(6.0)
    assert (await told(events))["set"] == {}  # a sign of life
    await events.aclose()  # type: ignore[attr-defined]
    assert len(streams) == 0


async def test_many_streams_cost_one_collection(
    streams: Streams, source: Source, clock: ManualClock
) -> None:
    readers = [streams.follow(f"browser {n}") for n in range(20)]
    await asyncio.gather(*map(told, readers))
    assert source.collected == 1
    clock.pass_(1.0)
    source.facts["queue/a"] = {"n": 3}
    await asyncio.gather(*map(told, readers))
    assert source.collected == 2


async def all_of(events: AsyncIterator[str]) -> list[str]:
    return [event async for event in events]


async def test_a_browser_with_many_tabs_polls_with_its_oldest_ones(streams: Streams) -> None:
    tabs = [streams.follow("firefox") for _ in range(10)]
    other = streams.follow("chrome")
    await told(other)
    for tab in tabs:
        await told(tab)
    for tab in tabs[:-FOR_EACH_BROWSER]:
        assert (await all_of(tab))[-1] == POLL
    assert len(streams) == FOR_EACH_BROWSER + 1


async def test_all_streams_together_are_bounded(streams: Streams) -> None:
    held = [streams.follow(f"browser {n}") for n in range(IN_ALL)]
    for one in held:
        await told(one)
    assert await all_of(streams.follow("one more")) == [POLL]


async def test_a_stop_ends_streams_that_wait(streams: Streams) -> None:
    readers = [streams.follow("firefox"), streams.follow("chrome")]
    await asyncio.gather(*map(told, readers))
    waiting = [asyncio.create_task(all_of(reader)) for reader in readers]
    await asyncio.sleep(0)
    streams.close()
    async with asyncio.timeout(1):  # the next look would be in a second; the clock stands still
        await asyncio.gather(*waiting)
    assert len(streams) == 0
    assert await all_of(streams.follow("late")) == [POLL]


async def test_a_stream_ends_by_itself_so_that_a_server_can_stop(
    streams: Streams, clock: ManualClock
) -> None:
    events = streams.follow("firefox")
    await told(events)
    clock.pass_(31.0)
    assert POLL not in await all_of(events)


def test_what_is_the_same_is_not_sent_again() -> None:
    before = {"a": "1", "b": "2", "c": "3"}
    now = {"a": before["a"], "b": "9", "d": "4"}
    assert difference(before, now) == ({"b": "9", "d": "4"}, ["c"])
