"""A dashboard that runs by itself: real sockets, and an end with streams open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from routeq_mqtt import Bus
from routeq_mqtt.dashboard.options import make_options
from routeq_mqtt.dashboard.serve import DashboardServer
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.wire.messages.status import WorkerStatus, encode
from routeq_mqtt.wire.observe.numbers import Alert, Alerts, QueueNumbers
from routeq_mqtt.wire.observe.outbox import OutboxReport

OPTIONS = make_options(hosts=(), redact=(), hide_data=False, environment="", trace_url="")


class Served:
    """A server on a free port, and a browser that has opened its link."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.bus = Bus(transport=MemoryTransport(self.broker))
        self.links: list[str] = []
        self.server = DashboardServer(self.bus, "127.0.0.1:0", OPTIONS, announce=self.links.append)
        self.running = asyncio.create_task(self.server.run())
        self.browser = httpx.AsyncClient(base_url=self.server.url(), timeout=10)

    async def open(self) -> None:
        self.broker.start()
        await self.browser.get(self.links[0], follow_redirects=True)

    async def close(self) -> None:
        self.server.stop()
        await self.running
        await self.browser.aclose()
        await self.bus.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    one = Served()
    await one.open()
    yield one
    await one.close()


async def lines(served: Served, begun: asyncio.Event) -> list[str]:
    """All lines of a stream, until the server ends it."""
    found = []
    async with served.browser.stream("GET", "api/stream") as answer:
        async for line in answer.aiter_lines():
            found.append(line)
            if line.startswith("data: "):
                begun.set()
    return found


async def test_it_serves_the_page_the_state_and_streams(served: Served) -> None:
    assert "<title>routeq</title>" in (await served.browser.get("")).text
    state = (await served.browser.get("api/state")).json()
    assert state["set"]["broker"]["online"] is True
    assert state["set"]["scheduler"] is None


async def test_a_stop_ends_open_streams_at_once(served: Served) -> None:
    begun = [asyncio.Event() for _ in range(3)]
    streams = [asyncio.create_task(lines(served, one)) for one in begun]
    for one in begun:
        await one.wait()
    loop = asyncio.get_running_loop()
    asked = loop.time()
    served.server.stop()
    await asyncio.gather(served.running, *streams)
    assert loop.time() - asked < 2.0  # the limit that uvicorn has for what does not end by itself


async def test_ten_tabs_leave_room_for_the_page(served: Served) -> None:
    """A browser has six connections; three streams at most leave three for everything else."""
    begun = [asyncio.Event() for _ in range(10)]
    tabs = []
    for one in begun:
        tabs.append(asyncio.create_task(lines(served, one)))
        await one.wait()
    ended, held = await asyncio.wait(tabs[:7])
    assert not held
    assert all("event: poll" in tab.result() for tab in ended)
    assert not any(tab.done() for tab in tabs[7:])
    assert (await served.browser.get("api/about")).status_code == 200


async def test_a_broker_that_is_away_is_a_fact_and_no_error() -> None:
    served = Served()
    await served.open()
    assert (await served.browser.get("api/state")).json()["set"]["broker"]["online"] is True
    served.broker.stop()
    async with asyncio.timeout(20):
        while (state := (await served.browser.get("api/state")).json())["set"]["broker"]["online"]:
            pass
    assert state["set"]["broker"]["error"]
    assert "scheduler" in state["set"]  # what was known stays
    await served.close()


async def test_what_was_cleared_while_the_broker_was_away_is_shown_no_more(served: Served) -> None:
    """A broker sends what it retains, not what it has cleared: a dead worker stayed for ever."""
    alert = Alert(key="k", kind="queue stuck", text="look")
    told = {
        "routeq/queues/gone": QueueNumbers(queue="gone").encode(),
        "routeq/workers/gone": encode(WorkerStatus(id="gone", state="online", queues=["a"])),
        "routeq/outbox/gone": OutboxReport(place="h:/o", jobs=1).encode(),
        "routeq/alerts": Alerts(alerts=[alert]).encode(),
        "$SYS/broker/version": b"1",
        "routeq/queues/stays": QueueNumbers(queue="stays").encode(),
    }
    other = await MemoryTransport(served.broker).connect(ConnectOptions("other"), lambda one: None)
    for topic, payload in told.items():
        await other.publish(topic, payload, retain=True)

    async def facts() -> dict[str, Any]:
        found: dict[str, Any] = (await served.browser.get("api/state")).json()["set"]
        return found

    there = {"queue/gone", "worker/gone", "outbox/gone", "alert/k", "queue/stays"}
    while not there <= (await facts()).keys():
        pass
    served.broker.stop()
    served.broker.start(empty=True)
    again = await MemoryTransport(served.broker).connect(ConnectOptions("new"), lambda one: None)
    await again.publish("routeq/queues/stays", told["routeq/queues/stays"], retain=True)
    while not (now := await facts())["broker"]["online"] or there & now.keys() != {"queue/stays"}:
        pass
    assert now["broker"]["sys"] == {}
    assert list(served.bus.sizes.fleet.members) == []
    await again.close()
