"""Unread events cost next to nothing, and who begins to read misses none."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

from routeq_mqtt.bus.features.events import Events
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import NO_MATCHING_SUBSCRIBERS, SUCCESS

if TYPE_CHECKING:
    from routeq_mqtt.transport.reconnecting import Link


class _Broker:
    """A link and its connection: what is published, each with the future of its PUBACK."""

    def __init__(self) -> None:
        self.connection: _Broker | None = self
        self.published: asyncio.Queue[tuple[list[str], int, asyncio.Future[int]]] = asyncio.Queue()

    def publish(self, topic: str, payload: bytes, *, qos: int = 1) -> asyncio.Future[int]:
        assert topic.startswith("routeq/events/q")
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        ids = [event["id"] for event in json.loads(payload)]
        self.published.put_nowait((ids, qos, answer))
        return answer

    async def message(self) -> tuple[list[str], int, asyncio.Future[int]]:
        return await asyncio.wait_for(self.published.get(), 10)


def _events(broker: _Broker, *, reports: bool = True) -> Events:
    link = cast("Link", broker)
    return Events(link, Topics(), SystemClock(), "worker", reports=lambda: reports)


def _tell(events: Events, *ids: str, queue: str = "q") -> None:
    more: dict[str, Any] = {"attempt": 1}
    for job_id in ids:
        events.publish(queue, "done", job_id, "Noop", more)


async def _unread(broker: _Broker, events: Events) -> None:
    _tell(events, "first")
    ids, qos, answer = await broker.message()
    assert (ids, qos) == (["first"], 1)
    answer.set_result(NO_MATCHING_SUBSCRIBERS)
    await asyncio.sleep(0)


async def test_one_message_asks_for_many_events() -> None:
    broker = _Broker()
    events = _events(broker)
    await _unread(broker, events)
    many = [str(number) for number in range(5_000)]
    _tell(events, *many)
    assert broker.published.empty()
    ids, _, answer = await broker.message()
    assert ids == many[:10]
    answer.set_result(NO_MATCHING_SUBSCRIBERS)
    await asyncio.sleep(0)
    _tell(events, "next")
    ids, _, answer = await broker.message()
    assert ids == ["next"]  # the others are gone: no subscriber would have got them


async def test_a_new_subscriber_gets_all_since_the_last_question_in_order() -> None:
    broker = _Broker()
    events = _events(broker)
    await _unread(broker, events)
    many = [str(number) for number in range(500)]
    _tell(events, *many)
    ids, _, answer = await broker.message()
    _tell(events, "meanwhile")
    answer.set_result(SUCCESS)
    got = list(ids)
    while len(got) < 501:
        ids, _, answer = await broker.message()
        answer.set_result(SUCCESS)
        got += ids
    assert got == [*many, "meanwhile"]
    _tell(events, *many[:200])  # as many as fit into a message: they go at once now
    assert not broker.published.empty()


async def test_what_waits_for_the_answer_has_a_bound() -> None:
    broker = _Broker()
    events = _events(broker)
    await _unread(broker, events)
    _tell(events, *(str(number) for number in range(25_000)))
    _, _, answer = await broker.message()
    answer.set_result(SUCCESS)
    await asyncio.sleep(0)
    count, last = 10, ""
    while not broker.published.empty():
        ids, _, _ = broker.published.get_nowait()
        count, last = count + len(ids), ids[-1]
    assert 5_000 <= count <= 10_000
    assert last == "24999"


async def test_only_few_events_are_asked_with_while_somebody_reads() -> None:
    """A session that is away keeps messages of QoS 1."""
    broker = _Broker()
    events = _events(broker)
    qualities: list[int] = []
    sent = 0
    for _ in range(20):
        _tell(events, *(str(number) for number in range(200)))
        while not broker.published.empty():
            ids, qos, answer = broker.published.get_nowait()
            sent += len(ids)
            qualities += [qos] * len(ids)
            answer.set_result(SUCCESS)
        await asyncio.sleep(0)
    assert sent == 4_000
    assert sum(qualities) == 10


async def test_a_broker_that_does_not_report_it_gets_all_with_qos_0() -> None:
    broker = _Broker()
    events = _events(broker, reports=False)
    _tell(events, *(str(number) for number in range(450)))
    got: list[str] = []
    while len(got) < 450:
        ids, qos, answer = await broker.message()
        assert qos == 0
        answer.set_result(NO_MATCHING_SUBSCRIBERS)  # says nothing
        got += ids
    assert got == [str(number) for number in range(450)]


async def test_a_connection_that_is_lost_while_it_is_asked_leaves_no_question_open() -> None:
    broker = _Broker()
    events = _events(broker)
    await _unread(broker, events)
    _tell(events, "lost")
    _, _, answer = await broker.message()
    answer.set_exception(ConnectionError("gone"))
    await asyncio.sleep(0)
    _tell(events, "asked again")
    ids, _, answer = await broker.message()
    assert ids == ["asked again"]
    answer.set_result(SUCCESS)


async def test_the_last_words_go_out_whether_or_not_somebody_reads() -> None:
    broker = _Broker()
    events = _events(broker)
    await _unread(broker, events)
    _tell(events, "last")
    events.flush()
    ids, qos, _ = broker.published.get_nowait()
    assert (ids, qos) == (["last"], 0)


async def test_a_producer_of_very_many_queues_remembers_few_of_them() -> None:
    broker = _Broker()
    events = _events(broker)
    _tell(events, "waits for its answer", queue="q-asked")
    _, _, asked = await broker.message()
    for number in range(20):
        queues = [f"q{number}-{one}" for one in range(1_000)]
        for queue in queues:
            _tell(events, "first", queue=queue)
        for _ in queues:
            _, _, answer = await broker.message()
            answer.set_result(NO_MATCHING_SUBSCRIBERS)
        await asyncio.sleep(0)
    assert len(events._feeds) <= 2_002
    _tell(events, "second", queue="q-asked")
    asked.set_result(SUCCESS)
    assert (await broker.message())[0] == ["second"]
