"""What a worker may believe of its lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from routeq_mqtt.clock import SystemClock
from routeq_mqtt.presence.status import WorkerState, WorkerStatus, encode
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import ConnectOptions, Message
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.report.heartbeat import Presence
from routeq_mqtt.worker.run import WorkerRun
from routeq_mqtt.worker.worker import Worker


async def test_a_lease_ends_with_the_connection_and_is_renewed_by_the_next() -> None:
    """The broker may have fired the Last Will with it, and adoption waits for a second only."""
    broker, clock = MemoryBroker(), SystemClock()
    presence = Presence(
        MemoryTransport(broker),
        Topics(),
        clock,
        WorkerStatus(id="w", state="online", queues=["default"]),
        fenced=lambda: None,
        pulse=lambda: 0.0,
        stall_limit=10.0,
    )
    presence.start()
    try:
        assert await presence.lease()
        assert presence.sound_until > clock.monotonic()
        connection = await presence.link.ready()
        known = asyncio.get_running_loop().create_future()
        connection.lost.add_done_callback(lambda lost: known.set_result(presence.sound_until))
        broker.cut("w")
        assert await known < clock.monotonic()
        assert await presence.lease()
        assert presence.sound_until > clock.monotonic()
    finally:
        await presence.leave("stopped")


async def test_no_status_of_its_own_gives_an_adopted_worker_its_lease_back() -> None:
    """It was stopped, and says "online" before it reads that it was adopted."""
    broker, topics, clock = MemoryBroker(), Topics(), SystemClock()
    transport, fenced = MemoryTransport(broker), asyncio.Event()
    status = WorkerStatus(id="w", state="online", queues=["default"])
    presence = Presence(
        transport,
        topics,
        clock,
        status,
        fenced=fenced.set,
        pulse=lambda: 0.0,
        stall_limit=10.0,
    )
    said: list[str] = []
    mark = asyncio.Event()

    def read(message: Message) -> None:
        if message.topic == "mark":
            mark.set()
        else:
            said.append(WorkerStatus.decode(message.payload).state)

    presence.start()
    try:
        assert await presence.lease()
        scheduler = await transport.connect(ConnectOptions("scheduler"), read)
        await scheduler.subscribe(topics.worker("w"), "mark")
        presence.joined()  # it is on its way when the scheduler's word comes
        adopted = replace(status, state="adopted")
        await scheduler.publish(topics.worker("w"), encode(adopted), retain=True)
        presence.joined()
        await fenced.wait()
        presence.joined()
        assert not await presence.lease()
        await scheduler.publish("mark", b"")
        await mark.wait()
        assert presence.sound_until < clock.monotonic()
        assert said.count("adopted") == 1
        after = said[said.index("adopted") :].count("online")
        assert after <= 1  # only what was said before it knew
    finally:
        await presence.leave("stopped")


class Time(SystemClock):
    """As it is told; a suspended machine's monotonic clock stands still."""

    def __init__(self) -> None:
        self.monotonic_ahead = self.wall_ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.monotonic_ahead

    def now(self) -> float:
        return super().now() + self.wall_ahead


@pytest.mark.parametrize("machine_too", [False, True])
@pytest.mark.parametrize(
    ("away", "is_known", "fenced"),
    [
        (7_200.0, False, True),  # adopted, and forgotten after an hour
        (7_200.0, True, False),  # nobody adopted it: no scheduler was there
        (60.0, False, False),  # its broker has lost its memory
    ],
)
async def test_who_was_away_longer_than_it_is_remembered_fences_itself(
    away: float, *, is_known: bool, fenced: bool, machine_too: bool
) -> None:
    broker, clock, fences = MemoryBroker(), Time(), []
    transport = MemoryTransport(broker)
    presence = Presence(
        transport,
        Topics(),
        clock,
        WorkerStatus(id="w", state="online", queues=["default"]),
        fenced=lambda: fences.append(True),
        pulse=lambda: 0.0,
        stall_limit=10.0,
    )
    presence.start()
    try:
        assert await presence.lease()
        scheduler = await transport.connect(ConnectOptions("scheduler"), lambda message: None)
        connection = await presence.link.ready()
        clock.wall_ahead += away
        clock.monotonic_ahead += 0.0 if machine_too else away
        broker.cut("w")  # its Last Will is out
        if not is_known:
            await scheduler.publish(Topics().worker("w"), b"", retain=True)
        assert connection.lost.done()
        assert await presence.lease() is not fenced
        assert bool(fences) is fenced
    finally:
        await presence.leave("stopped")


class AdoptedAtOnce:
    """A presence whose worker is adopted while it says that it has stopped."""

    sound_until = float("inf")

    def __init__(self) -> None:
        self.said: list[str | None] = []
        self.adopt: Callable[[], None] = lambda: None

    async def lease(self) -> bool:
        return True

    def joined(self) -> None:
        pass

    async def leave(self, state: WorkerState | None) -> None:
        self.said.append(state)
        self.adopt()
        await asyncio.sleep(0)


async def test_an_adoption_that_it_asked_for_does_not_make_a_worker_leave_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread of its presence has ended by then: leaving once more waited for ever."""
    presence = AdoptedAtOnce()

    def make(run: WorkerRun, *of: object, **options: object) -> AdoptedAtOnce:
        presence.adopt = run._fence
        return presence

    monkeypatch.setattr(WorkerRun, "_make_presence", make)
    worker = Worker(MemoryTransport(MemoryBroker()), WorkerOptions(), in_thread=False)
    running = asyncio.create_task(worker.run())
    await worker.online.wait()
    worker.stop()
    await running
    assert presence.said == [None]


async def test_who_says_that_it_stopped_is_not_told_of_its_adoption(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, topics, told = MemoryBroker(), Topics(), []
    transport = MemoryTransport(broker)
    status = WorkerStatus(id="w", state="online", queues=["default"])
    presence = Presence(
        transport,
        topics,
        SystemClock(),
        status,
        fenced=lambda: told.append("fenced"),
        pulse=lambda: 0.0,
        stall_limit=10.0,
    )
    presence.start()
    assert await presence.lease()
    close, adopted = presence.link.close, replace(status, state="adopted")

    async def adopt_first(*, end_session: bool = False) -> None:
        connection = await transport.connect(ConnectOptions("scheduler"), lambda message: None)
        await connection.publish(topics.worker("w"), encode(adopted), retain=True)
        await connection.publish(topics.fence("w"), b"yes", retain=True)
        for _ in range(20):
            await asyncio.sleep(0)
        await close(end_session=end_session)

    presence.link.close = adopt_first  # type: ignore[method-assign]
    await presence.leave("stopped")
    assert not told
    assert "adopted" not in caplog.text
