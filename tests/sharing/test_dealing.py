"""The scheduler deals jobs to single sessions: no shared subscription, no topic with a ``$``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routeq_mqtt import Job, NoConsumer
from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.presence.status import WIRE, WorkerLoad, WorkerState, WorkerStatus, encode
from routeq_mqtt.scheduler.lifecycle import sharing
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import BrokerOptions, MemoryBroker, MemoryBus, MemoryTransport
from routeq_mqtt.topics import Sharing
from routeq_mqtt.transport.base import ConnectOptions, Message
from routeq_mqtt.wire.envelopes.dealt import encode_question
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.messages.census import CensusAnswer, CensusQuestion
from routeq_mqtt.worker.options import WorkerOptions
from tests.cluster.recorder import TIMEOUT

RAN: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
GATE: asyncio.Event = asyncio.Event()
TOUCHED: set[str] = set()


class Dealt(Job):
    backoff = [0.0]
    key: str = ""
    fails: int = 0
    waits: bool = False

    async def handle(self) -> None:
        if self.waits:
            await GATE.wait()
        RAN.put_nowait((self.key, self.attempts))
        if self.attempts <= self.fails:
            raise RuntimeError("again")


async def ran(number: int) -> list[tuple[str, int]]:
    async with asyncio.timeout(TIMEOUT):
        return [await RAN.get() for _ in range(number)]


def plain(client_id: str, action: str, topic: str) -> bool:
    """A broker on which topics with a ``$`` are somebody else's."""
    TOUCHED.add(topic)
    return not topic.startswith("$")


def broker(*, mqtt5: bool) -> MemoryBroker:
    options = BrokerOptions(
        mqtt5=mqtt5, reports_no_subscribers=mqtt5, shares=False, allow=plain, ends_refused=True
    )
    return MemoryBroker(options)


@pytest.fixture(autouse=True)
async def _fresh() -> AsyncIterator[None]:
    global RAN, GATE
    RAN, GATE = asyncio.Queue(), asyncio.Event()
    TOUCHED.clear()
    yield
    GATE.set()


def settings(chosen: Sharing = "scheduler") -> Settings:
    return Settings(sharing=chosen, timeout=5.0)


@pytest.mark.parametrize("mqtt5", [True, False])
async def test_jobs_run_on_a_broker_that_shares_nothing(*, mqtt5: bool) -> None:
    async with MemoryBus("a", "b", broker=broker(mqtt5=mqtt5), settings=settings()) as bus:
        await bus.dispatch(Dealt(key="now"), queue="a")
        assert await ran(1) == [("now", 1)]
        await bus.dispatch(Dealt(key="later"), queue="b", delay=0.05)
        assert await ran(1) == [("later", 1)]
        await bus.dispatch(Dealt(key="again", fails=1), queue="a")
        assert await ran(2) == [("again", 1), ("again", 2)]
        await bus.bulk([Dealt(key=str(number)) for number in range(50)], "b")
        assert sorted(int(key) for key, _ in await ran(50)) == list(range(50))
    assert not [topic for topic in TOUCHED if topic.startswith(("$", "queue/"))]


@pytest.mark.parametrize("mqtt5", [True, False])
async def test_a_scheduler_finds_out_that_the_broker_does_not_share(
    *, mqtt5: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_WITHIN", 0.05)
    caplog.set_level("INFO", "routeq_mqtt.scheduler.lifecycle.sharing")
    async with MemoryBus("a", broker=broker(mqtt5=mqtt5), settings=settings("auto")) as bus:
        await bus.dispatch(Dealt(key="now"), queue="a")
        assert await ran(1) == [("now", 1)]
    assert [topic for topic in TOUCHED if topic.startswith("routeq/deal/")]
    [line] = [one.getMessage() for one in caplog.records if one.getMessage().startswith("sharing=")]
    assert line.startswith("sharing=scheduler the broker does not deliver")


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_scheduler_leaves_the_jobs_to_a_broker_that_shares(*, hidden: bool) -> None:
    """Also where access control hides from it what it tries, and so it cannot know."""

    def allow(client_id: str, action: str, topic: str) -> bool:
        TOUCHED.add(topic)
        return not (hidden and "/probe/routeq-sharing-" in topic)

    memory = MemoryBroker(BrokerOptions(allow=allow))
    async with MemoryBus("a", broker=memory, settings=settings("auto")) as bus:
        await bus.dispatch(Dealt(key="now"), queue="a")
        assert await ran(1) == [("now", 1)]
    assert not [topic for topic in TOUCHED if topic.startswith("routeq/deal/")]


async def test_producers_and_workers_follow_the_status_of_the_scheduler(tmp_path: Path) -> None:
    """None of them has the setting, and the worker is there before the scheduler."""
    memory = MemoryBroker()
    follower = MemoryBus(broker=memory, settings=settings("auto"))
    dealer = MemoryBus(broker=memory, settings=settings())
    try:
        await follower.worker("default")
        await dealer.scheduler(tmp_path / "routeq.db")
        await follower.open()
        await follower.dispatch(Dealt(key="followed"))
        assert await ran(1) == [("followed", 1)]
        assert follower.sender.surroundings.intake("x") == "routeq/intake/x"
    finally:
        for bus in (follower, dealer):
            await bus.__aexit__(None, None, None)


async def test_a_scheduler_that_no_longer_deals_is_followed_too(tmp_path: Path) -> None:
    memory = MemoryBroker()
    bus = MemoryBus(broker=memory, settings=settings("auto"))
    try:
        for chosen in ("scheduler", "broker", "scheduler"):
            one = MemoryBus(broker=memory, settings=settings(chosen))
            await one.scheduler(tmp_path / "routeq.db")
            if chosen == "scheduler" and not bus.sender.link.connection:
                await bus.worker("default")
                await bus.open()
            await bus.dispatch(Dealt(key=chosen))
            assert await ran(1) == [(chosen, 1)]
            await one.__aexit__(None, None, None)
    finally:
        await bus.__aexit__(None, None, None)


async def test_a_worker_with_a_free_slot_comes_before_one_without() -> None:
    async with MemoryBus(broker=broker(mqtt5=True), settings=settings()) as bus:
        await bus.worker(options=WorkerOptions(queues=("default",), concurrency=1))
        await bus.worker(options=WorkerOptions(queues=("default",), concurrency=3))
        await bus.bulk([Dealt(key="long", waits=True) for _ in range(3)])
        await bus.dispatch(Dealt(key="short"))
        assert await ran(1) == [("short", 1)]
        GATE.set()
        assert await ran(3) == [("long", 1)] * 3


async def test_a_job_behind_a_long_one_goes_to_a_worker_that_has_a_free_slot() -> None:
    async with MemoryBus(broker=broker(mqtt5=False), settings=settings()) as bus:
        one = WorkerOptions(queues=("default",), concurrency=1, prefetch=50)
        await bus.worker(options=one)
        await bus.bulk([Dealt(key=str(number)) for number in range(200)])  # short: many are ahead
        await bus.dispatch(Dealt(key="long", waits=True))
        await bus.bulk([Dealt(key=str(number)) for number in range(5)])
        await ran(200)
        await bus.worker(options=one)
        assert len(await ran(5)) == 5
        GATE.set()
        assert await ran(1) == [("long", 1)]


class Silent:
    """A worker of which only what it says is there."""

    def __init__(self) -> None:
        self.dealt: asyncio.Queue[Message] = asyncio.Queue()

    async def start(self, bus: MemoryBus) -> None:
        options = ConnectOptions("silent/default", persistent=True, session_expiry=60)
        self._connection = await bus.transport.connect(options, self.dealt.put_nowait)
        self._topics = bus.sender.topics

    async def say(self, state: WorkerState = "online") -> None:
        """Its load, and only then that it is there: they come on different connections."""
        load, status = self._topics.running("silent"), self._topics.worker("silent")
        if state == "online":
            await self._connection.publish(load, encode(WorkerLoad()), retain=True)
        online = WorkerStatus(
            id="silent", state=state, queues=["default"], sessions=["silent/default"],
            concurrency=1, wire=WIRE,
        )  # fmt: skip
        await self._connection.publish(status, encode(online), retain=True)

    async def read(self) -> None:
        await self._connection.subscribe(self._topics.deal("silent/default"))

    async def dies(self, running: dict[str, int]) -> None:
        """What it held does not come back, or only later: as on NATS."""
        load = encode(WorkerLoad(running=running))
        await self._connection.publish(self._topics.running("silent"), load, retain=True)
        await self.say(state="lost")
        await self._connection.close(end_session=True)

    async def gets(self) -> bytes:
        async with asyncio.timeout(TIMEOUT):
            message = await self.dealt.get()
        self._connection.acknowledge(message)
        return message.payload


async def test_no_job_is_put_behind_a_long_one_since_a_free_worker_has_just_come() -> None:
    async with MemoryBus(broker=broker(mqtt5=True), settings=settings()) as bus:
        await bus.worker(options=WorkerOptions(queues=("default",), concurrency=1))
        await bus.dispatch(Dealt(key="long", waits=True))
        silent = Silent()
        await silent.start(bus)
        await silent.say()
        await bus.dispatch(Dealt(key="short"))
        async with asyncio.timeout(TIMEOUT):
            while bus.sender.topics.deal("silent/default") not in TOUCHED:
                await asyncio.sleep(0.001)
        for _ in range(5):  # each time the scheduler tries again
            await silent.say()
            await bus.size("default")
        await silent.read()
        envelope = Envelope.decode(await silent.gets())
        assert (envelope.data["key"], envelope.deliveries) == ("short", 1)


async def test_a_worker_whose_load_came_before_its_status_counts_as_free() -> None:
    async with MemoryBus(broker=broker(mqtt5=True), settings=settings()) as bus:
        one = WorkerOptions(queues=("default",), concurrency=1, prefetch=50)
        await bus.worker(options=one)
        await bus.bulk([Dealt(key=str(number)) for number in range(200)])
        await bus.dispatch(Dealt(key="long", waits=True))
        await bus.dispatch(Dealt(key="short"))
        await ran(200)
        silent = Silent()
        await silent.start(bus)
        await silent.read()
        await silent.say()
        assert b"short" in await silent.gets()


async def test_a_job_that_ran_is_charged_for_the_death_of_its_worker_if_it_does_not_come_back() -> (
    None
):
    async with MemoryBus(broker=broker(mqtt5=False), settings=settings()) as bus:
        silent = Silent()
        await silent.start(bus)
        await silent.read()
        await silent.say()
        ran_there = await bus.dispatch(Dealt(key="ran there"))
        assert b"ran there" in await silent.gets()
        await silent.dies({ran_there.id: 1})
        await bus.worker("default")
        assert await ran(1) == [("ran there", 2)]


async def test_without_a_scheduler_no_job_is_taken() -> None:
    transport = MemoryTransport(broker(mqtt5=False))
    async with Bus(settings=settings(), transport=transport) as bus:
        with pytest.raises(NoConsumer):
            await bus.dispatch(Dealt(key="x"))


async def test_a_worker_that_names_no_session_gets_nothing_and_ends_nobody() -> None:
    """Its status is retained: an error at it would end the scheduler at every start."""
    one = broker(mqtt5=True)
    stranger = await MemoryTransport(one).connect(ConnectOptions("x"), lambda message: None)
    status = WorkerStatus(id="x", state="online", queues=["a"], concurrency=999, wire=WIRE)
    await stranger.publish("routeq/workers/x", encode(status), retain=True)
    async with MemoryBus("a", broker=one, settings=settings()) as bus:
        await bus.dispatch(Dealt(key="now"), queue="a")
        assert await ran(1) == [("now", 1)]


async def test_a_session_answers_to_the_census_that_comes_behind_the_dealt_jobs() -> None:
    """On some brokers (NATS) one on another topic comes before them: they would count as lost."""
    async with MemoryBus("default", broker=broker(mqtt5=False), settings=settings()) as bus:
        await bus.dispatch(Dealt(key="it is subscribed"))
        await ran(1)
        topics, answers = bus.sender.topics, asyncio.Queue[CensusAnswer]()
        [deal] = [topic for topic in TOUCHED if topic.startswith(topics.deal(""))]
        session = deal.removeprefix(topics.deal(""))

        def listen(message: Message) -> None:
            answers.put_nowait(CensusAnswer.decode(message.payload))

        await bus.sender.listen([topics.rpc("census")], listen)
        connection = await bus.sender.link.ready()
        early, behind = (
            CensusQuestion(census=name, jobs={"a": 1}).encode() for name in ("early", "behind")
        )
        await connection.publish(topics.session(session), early)
        await connection.publish(deal, encode_question(behind))
        async with asyncio.timeout(TIMEOUT):
            assert (await answers.get()).census == "behind"


async def test_a_job_that_the_broker_sends_again_while_it_runs_runs_once() -> None:
    """NATS repeats what was not acknowledged within `ack_wait`, on the same connection."""
    memory = broker(mqtt5=False)
    async with MemoryBus(broker=memory, settings=settings()) as bus:
        await bus.worker(options=WorkerOptions(queues=("default",), concurrency=5))
        await bus.dispatch(Dealt(key="first"))
        await ran(1)
        await bus.dispatch(Dealt(key="long", waits=True))
        [deal] = [topic for topic in TOUCHED if topic.startswith(bus.sender.topics.deal(""))]
        session = deal.removeprefix(bus.sender.topics.deal(""))
        async with asyncio.timeout(TIMEOUT):
            while not any(b"long" in payload for payload in memory.holds(session)):
                await asyncio.sleep(0.001)
        memory.repeat(session)
        await bus.dispatch(Dealt(key="behind"))
        assert await ran(1) == [("behind", 1)]
        GATE.set()
        assert await ran(1) == [("long", 1)]
        await bus.dispatch(Dealt(key="last"))
        assert await ran(1) == [("last", 1)]
