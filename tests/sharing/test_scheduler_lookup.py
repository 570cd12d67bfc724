"""Who comes to another node of a cluster than the scheduler finds it all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import Job, NoConsumer
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import BrokerOptions, MemoryBroker, MemoryBus
from routeq_mqtt.topics import Topics
from tests.sharing.test_dealing import plain

ASKED: list[str] = []


class Elsewhere(dict[str, Any]):
    """What is retained is on another node."""

    def __setitem__(self, topic: str, message: Any) -> None:
        pass


class Asked(Job):
    async def handle(self) -> None:
        pass


def node(**options: Any) -> MemoryBroker:
    memory = MemoryBroker(BrokerOptions(mqtt5=False, shares=False, **options))
    memory._router.retained = Elsewhere()
    return memory


async def test_who_finds_no_status_of_the_scheduler_asks_for_it(tmp_path: Path) -> None:
    memory = node(allow=plain, ends_refused=True)
    dealer = MemoryBus(broker=memory, settings=Settings(sharing="scheduler"))
    producer = MemoryBus(broker=memory, settings=Settings(sharing="auto", timeout=5.0))
    try:
        await dealer.scheduler(tmp_path / "routeq.db")
        await producer.open()
        assert producer.sender.surroundings.scheduler_online
        assert producer.sender.surroundings.deals
        await producer.dispatch(Asked())
        await producer.dispatch(Asked(), confirm="stored")
    finally:
        for bus in (producer, dealer):
            await bus.__aexit__(None, None, None)


def silent(client_id: str, action: str, topic: str) -> bool:
    """A broker that lets nobody ask, and ends the connection of who does."""
    if action == "publish" and topic == Topics().rpc("ping"):
        ASKED.append(client_id)
        return False
    return True


async def test_who_may_not_ask_goes_without() -> None:
    """A question costs at most two connections in a row."""
    ASKED.clear()
    bus = MemoryBus(broker=node(allow=silent, ends_refused=True), settings=Settings(timeout=5.0))
    try:
        await bus.open()
        with pytest.raises(NoConsumer):
            await bus.dispatch(Asked())
        assert len(ASKED) == 2
    finally:
        await bus.__aexit__(None, None, None)
