"""Events on the bus are JSON, whatever a job is called and whatever its error says."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from routeq_mqtt import Fail, Job
from routeq_mqtt.testing import MemoryBus

if TYPE_CHECKING:
    from routeq_mqtt.transport.seam import Message

NAME = 'say "hé\\llo" \U0001f44b'
WHY = 'no "quotes", no \\, no\nline'


class Quoted(Job):
    name = NAME
    queue = "quoted"
    result_ttl = 60
    fails: bool = False

    async def handle(self) -> None:
        if self.fails:
            raise Fail(WHY)


async def test_events_are_json_whatever_is_in_them() -> None:
    events: list[dict[str, Any]] = []
    over = asyncio.Event()

    def take(message: Message) -> None:
        events.extend(json.loads(message.payload))
        if events[-1]["event"] == "failed":
            over.set()

    async with MemoryBus("quoted") as bus:
        await bus.sender.listen([bus.sender.topics.events("quoted")], take)
        handle = await bus.dispatch(Quoted())
        await handle.result(10)
        failing = await bus.dispatch(Quoted(fails=True))
        await asyncio.wait_for(over.wait(), 10)

    mine = [event for event in events if event["id"] == handle and event["event"] != "dispatched"]
    assert [event.pop("event") for event in mine] == ["started", "done"]
    for event in mine:
        assert isinstance(event.pop("at"), float)
        by = event.pop("by")
        assert isinstance(by, str)
        assert event == {"id": handle, "job": NAME, "queue": "quoted", "attempt": 1}
    failed = events[-1]
    assert (failed["id"], failed["job"], failed["attempt"]) == (failing, NAME, 1)
    assert failed["reason"] == "failed on purpose"
    assert WHY in failed["error"]
