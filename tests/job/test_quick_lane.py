"""A plain job takes the quick lane; whatever it does, it ends as it would have the long way."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from routeq_mqtt import Fail, Job, Retry
from routeq_mqtt.testing import MemoryBus
from routeq_mqtt.worker.quick_lane import QuickLane

if TYPE_CHECKING:
    from routeq_mqtt.transport.base import Message
    from routeq_mqtt.worker.delivery import Delivery

seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")

What = Callable[[], Awaitable[None]]


class _Hostile(Exception):
    def __str__(self) -> str:
        raise KeyError("no text")


async def returns() -> None:
    pass


async def waits() -> None:
    await asyncio.sleep(0)


async def raises() -> None:
    raise ValueError("no")


async def raises_later() -> None:
    await asyncio.sleep(0)
    raise ValueError("no")


async def exits() -> None:
    raise SystemExit(3)


async def exits_later() -> None:
    await asyncio.sleep(0)
    raise SystemExit(3)


async def interrupts() -> None:
    raise KeyboardInterrupt


async def raises_generator_exit() -> None:
    raise GeneratorExit


async def raises_cancelled() -> None:
    raise asyncio.CancelledError


async def is_hostile() -> None:
    raise _Hostile


async def fails() -> None:
    raise Fail("on purpose")


async def asks_again() -> None:
    raise Retry("once more", delay=0.0)


async def is_a_group() -> None:
    raise BaseExceptionGroup("both", [ValueError("one"), SystemExit(2)])


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def cancels_itself_and_waits() -> None:
    await cancels_itself()
    await asyncio.sleep(0)


async def takes_too_long() -> None:
    await asyncio.Event().wait()


async def limits_itself() -> None:
    async with asyncio.timeout(60):
        await asyncio.sleep(0)


async def sets_a_variable() -> None:
    assert seen.get() == "nothing"
    seen.set("something")


DEEDS: list[What] = [
    returns,
    waits,
    raises,
    raises_later,
    exits,
    exits_later,
    interrupts,
    raises_generator_exit,
    raises_cancelled,
    is_hostile,
    fails,
    asks_again,
    is_a_group,
    cancels_itself,
    cancels_itself_and_waits,
    takes_too_long,
    limits_itself,
    sets_a_variable,
]


async def _around(job: Job, call_next: Callable[[Job], Awaitable[Any]]) -> Any:
    return await call_next(job)


def _classes() -> tuple[type[Job], type[Job]]:
    """Two classes that do the same; the middleware of the second one keeps it off the lane."""

    class Quick(Job):
        max_tries = 2
        retry_after = 0.0
        timeout = 0.2
        deed: str

        async def handle(self) -> None:
            await _by_name[self.deed]()

    class Long(Quick):
        middleware = [_around]

    return Quick, Long


_by_name = {deed.__name__: deed for deed in DEEDS}


@pytest.mark.parametrize("deed", list(_by_name))
async def test_both_ways_end_alike(deed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, long = _classes()
    taken: list[str] = []
    first_step = QuickLane.first_step

    def noted(lane: QuickLane, held: Delivery) -> Any:
        assert held.envelope is not None
        taken.append(held.envelope.job)
        return first_step(lane, held)

    monkeypatch.setattr(QuickLane, "first_step", noted)
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def take(message: Message) -> None:
        for event in json.loads(message.payload):
            events.put_nowait(event)

    async def end_of(bus: MemoryBus, job: Job) -> list[tuple[Any, ...]]:
        """All that is reported of a job, up to its end."""
        dispatched = await bus.dispatch(job)
        reported: list[tuple[Any, ...]] = []
        while not reported or reported[-1][0] not in {"done", "failed", "cancelled"}:
            event = await asyncio.wait_for(events.get(), 20)
            if event["id"] == dispatched:
                words = (event.get(key) for key in ("attempt", "delay", "error", "reason"))
                reported.append((event["event"], *words))
        return reported

    async with MemoryBus("default") as bus:
        await bus.sender.listen([bus.sender.topics.events("default")], take)
        ends = await end_of(bus, quick(deed=deed))
        assert taken[0] == "Quick"
        assert ends == await end_of(bus, long(deed=deed))
        assert ends[0][0] == "started"
        # The slots are as good as before, and no job sees what another one has set.
        for number in range(12):
            after = ("returns", "waits", "sets_a_variable")[number % 3]
            ends = await end_of(bus, quick(deed=after))
            assert [event[0] for event in ends] == ["started", "done"]
    assert "Long" not in taken


async def test_what_asks_for_more_goes_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them has something that only the long way decides."""
    taken: list[str] = []
    first_step = QuickLane.first_step

    def noted(lane: QuickLane, held: Delivery) -> Any:
        assert held.envelope is not None
        taken.append(held.envelope.job)
        return first_step(lane, held)

    monkeypatch.setattr(QuickLane, "first_step", noted)

    class InThread(Job):
        def handle(self) -> None: ...

    class Kept(Job):
        result_ttl = 60

        async def handle(self) -> None: ...

    class InProcess(Job):
        executor = "process"

        async def handle(self) -> None: ...

    class Plain(Job):
        async def handle(self) -> None: ...

    async with MemoryBus("default") as bus:
        for job in (InThread(), Kept(), Plain()):
            await (await bus.dispatch(job, result_ttl=60)).result(10)
        late = Plain()
        late.max_tries = 4
        await (await bus.dispatch(late, result_ttl=60)).result(10)
        await (await bus.dispatch(Plain(), headers={"tenant": "a"}, result_ttl=60)).result(10)
    assert taken == []
