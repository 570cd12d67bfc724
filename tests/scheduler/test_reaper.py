"""When the reaper looks at the fleet, and adoptions that do not end."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from routeq_mqtt.notifier import Notifier
from routeq_mqtt.presence.status import WorkerStatus, encode
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.recovery.reaper import Reaper
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import ConnectOptions, Message
from tests.cluster.recorder import TIMEOUT
from tests.model.loop import VirtualLoop
from tests.scheduler.test_seven_days import running

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.transport.base import Connection, OnMessage, Transport


class _Slow(Reaper):
    """Each look takes some time, by the clock."""

    looks = 0

    def __init__(self, takes: float) -> None:
        self.now = 0.0
        self.takes = takes
        self.looked = Notifier()
        clock = SimpleNamespace(monotonic=lambda: self.now)
        self.changed = Notifier()
        context = SimpleNamespace(clock=clock, fleet_changed=self.changed)
        nothing = cast("Any", None)
        super().__init__(cast("Context", context), nothing, nothing)

    def look(self) -> float | None:
        self.looks += 1
        self.now += self.takes
        self.looked.notify()
        return None


async def test_what_changes_while_it_rests_is_looked_at_after_the_rest() -> None:
    for takes in (0.0, 0.01, 1_000.0):  # the last one: we were stopped meanwhile
        reaper = _Slow(takes)
        task = asyncio.ensure_future(reaper.run())
        for number in range(1, 4):
            if reaper.looks < number:
                assert await reaper.looked.wait(10, since=number - 1)
            reaper.changed.notify()
        await reaper.looked.wait(10, since=3)
        assert reaper.looks >= 4
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Sessions:
    """A broker with dead sessions, some of which never hand out the adoption's mark."""

    def __init__(self, silent: set[str]) -> None:
        self.silent = silent
        self.ended: list[str] = []

    async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
        return cast("Connection", _Session(self, options.client_id, on_message))


class _Session:
    def __init__(self, broker: _Sessions, client_id: str, on_message: OnMessage) -> None:
        self.broker, self.client_id, self.on_message = broker, client_id, on_message
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def subscribe(self, *filters: str) -> list[int]:
        return [1] * len(filters)

    async def unsubscribe(self, *filters: str) -> None: ...

    def publish(self, topic: str, payload: bytes) -> asyncio.Future[int]:
        if self.client_id not in self.broker.silent:
            self.on_message(Message(topic, payload))
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        answer.set_result(0)
        return answer

    def acknowledge(self, message: Message) -> None: ...

    def resume(self) -> None: ...

    async def close(self, *, end_session: bool = False) -> None:
        self.lost.set_result(None)
        if end_session:
            self.broker.ended.append(self.client_id)


def test_adoptions_that_stall_let_others_have_their_turns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def no_ids(session: str) -> list[Any]:
        return []

    async def ready() -> None: ...

    async def adopt() -> None:
        stuck = [f"stuck{number}" for number in range(40)]
        broker = _Sessions({*stuck})
        context = SimpleNamespace(
            topics=Topics(),
            store=SimpleNamespace(given_ids=no_ids),
            link=SimpleNamespace(ready=ready),
            hook=lambda place: None,
            surroundings=SimpleNamespace(deals=False),
            parked=Notifier(),
        )
        reaper = Reaper(cast("Context", context), cast("Transport", broker), cast("Any", None))
        tasks = [
            asyncio.ensure_future(reaper._adopt_session(session, "q", {}, charge=True))
            for session in (*stuck, "sound")
        ]
        await tasks[-1]
        assert broker.ended == ["sound"]
        broker.silent.clear()  # what was in the way has been drained
        await asyncio.gather(*tasks)
        assert sorted(broker.ended) == sorted([*stuck, "sound"])

    with caplog.at_level(logging.WARNING), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(adopt())
    assert "adoption repeats session=stuck0 cause=nothing came for 30 s" in caplog.text


async def test_a_broker_that_lost_its_memory_hears_again_who_was_adopted(tmp_path: Path) -> None:
    """A worker that was suspended all that time must not go on with what it held."""
    broker, topics, adopted = MemoryBroker(), Topics(), asyncio.Event()
    transport = MemoryTransport(broker)

    def read(message: Message) -> None:
        if message.payload and WorkerStatus.decode(message.payload).state == "adopted":
            adopted.set()

    status = WorkerStatus(id="w", state="lost", queues=["default"], sessions=["w/default"])
    scheduler = Scheduler(transport, SchedulerOptions(db=tmp_path / "routeq.db"))
    async with running(scheduler), asyncio.timeout(TIMEOUT):
        before = await transport.connect(ConnectOptions("before"), read)
        await before.publish(topics.worker("w"), encode(status), retain=True)
        await before.subscribe(topics.worker("w"))
        await adopted.wait()
        broker.kill()
        broker.start(empty=True)
        adopted.clear()
        fenced = asyncio.Event()
        after = await transport.connect(ConnectOptions("after"), read)
        fence = await transport.connect(ConnectOptions("fence"), lambda message: fenced.set())
        await after.subscribe(topics.worker("w"))
        await fence.subscribe(topics.fence("w"))
        await adopted.wait()
        await fenced.wait()
