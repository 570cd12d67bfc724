"""Messages without an id, alike to the byte, whose packet ids come again."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from routeq_mqtt.bus.send.broker_info import BrokerInfo
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import Message
from routeq_mqtt.worker.consume.session import QueueSession
from routeq_mqtt.worker.delivery import Delivery

ALIKE = b'{"job": "Report", "data": {}}'


class FakeConnection:
    """What a session needs of a connection."""

    def __init__(self, *, session_present: bool) -> None:
        self.session_present = session_present
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.acknowledged: list[Message] = []

    def acknowledge(self, message: Message) -> None:
        if not self.lost.done():
            self.acknowledged.append(message)

    def publish(self, topic: str, payload: bytes) -> asyncio.Future[int]:
        return asyncio.get_running_loop().create_future()

    def pause(self) -> None: ...

    resume = pause


class FakeJobs:
    """Keeps what would run."""

    free = soon = 1

    def __init__(self) -> None:
        self.taken: list[Delivery] = []

    def add(self, held: Delivery) -> None:
        self.taken.append(held)


async def _gate() -> None: ...


def _session(jobs: FakeJobs) -> QueueSession:
    topics = Topics()
    return QueueSession(
        cast("Any", None), topics, "default", "w/default",
        window=10, jobs=cast("Any", jobs), surroundings=BrokerInfo(topics, "w"), gate=_gate,
        answer=lambda session, question: None, joined=lambda: None, give=lambda held: None,
        repeat=lambda held: None,
    )  # fmt: skip


def _arrives(session: QueueSession, connection: FakeConnection, *, dup: bool = False) -> None:
    message = Message("queue/default", ALIKE, qos=1, packet_id=1, dup=dup)
    session._deliver(cast("Any", connection), message)


async def test_the_end_of_a_job_of_a_lost_session_stands_for_no_other_message() -> None:
    jobs = FakeJobs()
    session = _session(jobs)
    first = FakeConnection(session_present=False)
    _arrives(session, first)
    [held] = jobs.taken

    # The broker has lost its memory, and counts its packet ids from the first one again.
    first.lost.set_result(None)
    second = FakeConnection(session_present=False)
    session._switch_to(cast("Any", second))
    session._decide(cast("Any", second))
    session.settle(held)
    second.lost.set_result(None)  # before the next message came on it

    third = FakeConnection(session_present=True)
    _arrives(session, third, dup=True)
    assert len(jobs.taken) == 2
    assert not third.acknowledged


async def test_a_message_whose_acknowledgement_was_lost_does_not_run_again() -> None:
    jobs = FakeJobs()
    session = _session(jobs)
    first = FakeConnection(session_present=False)
    _arrives(session, first)
    first.lost.set_result(None)
    session.settle(jobs.taken[0])
    again = FakeConnection(session_present=True)
    _arrives(session, again, dup=True)
    assert len(jobs.taken) == 1
    assert len(again.acknowledged) == 1
