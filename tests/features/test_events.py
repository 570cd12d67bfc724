"""Events on the bus: each of them, and as JSON whatever a job is called and its error says."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from routeq_mqtt import Fail, Job, JobEvent, on, remove_hook
from routeq_mqtt.jobs.hooks import EVENTS
from routeq_mqtt.testing import MemoryBus
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Flaky, Gated, GivesUp
from tests.cluster.recorder import TIMEOUT
from tests.features.result_jobs import TellsAndWaits

if TYPE_CHECKING:
    from routeq_mqtt.transport.base import Message

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


async def test_what_happens_to_jobs_is_told_on_the_bus_and_to_the_program(cluster: Cluster) -> None:
    """Every event that there is, from a program and a worker process."""
    told: dict[str, set[str]] = {}
    news = asyncio.Event()
    here: list[JobEvent] = []
    on("dispatched")(here.append)

    def take(message: Message) -> None:
        for event in json.loads(message.payload):
            told.setdefault(event["id"], set()).add(event["event"])
        news.set()

    await cluster.scheduler()
    await cluster.worker(
        "default", "--app", "tests.cluster.jobs", "--app", "tests.features.result_jobs"
    )
    try:
        async with cluster.bus(events=True) as bus:
            await bus.sender.listen([bus.sender.topics.events("default")], take)
            tells = await bus.dispatch(TellsAndWaits())
            flaky = await bus.dispatch(Flaky(succeed_on=2))
            gives_up = await bus.dispatch(GivesUp())
            stopped = await bus.dispatch(Gated(key="stopped", gate="never"))
            await cluster.recorder.wait(lambda: "stopped" in cluster.recorder.ran("waits"))
            await bus.cancel(stopped)
            cluster.recorder.open("told")
            wanted = {
                tells: {"dispatched", "started", "progress", "done"},
                flaky: {"dispatched", "started", "retried", "done"},
                gives_up: {"dispatched", "started", "failed"},
                stopped: {"dispatched", "started", "cancelled"},
            }
            async with asyncio.timeout(TIMEOUT):
                while told != wanted:
                    await news.wait()
                    news.clear()
    finally:
        remove_hook(here.append)
    assert set().union(*wanted.values()) == set(EVENTS)
    assert [event.id for event in here] == list(wanted)
