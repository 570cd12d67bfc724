"""An error that nobody foresaw, at one message: the others go on, and the scheduler stays."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import Bus, StaleDatabase
from routeq_mqtt.presence.fleet import Fleet
from routeq_mqtt.scheduler.intake import message_reader
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID
from routeq_mqtt.wire.messages.outcomes import decode_outcomes
from tests.cluster.recorder import TIMEOUT
from tests.scheduler.test_seven_days import running

POISON = """
CREATE TRIGGER poison BEFORE INSERT ON jobs WHEN new.id LIKE 'poison%' BEGIN
    SELECT RAISE(ABORT, 'injected');
END;
"""


class Bed:
    def __init__(self, bus: Bus, broker: MemoryBroker, db: Path) -> None:
        self.bus, self.broker, self.db = bus, broker, db

    def inject(self, script: str) -> None:
        with closing(sqlite3.connect(self.db)) as db:
            db.executescript(script)

    async def send(self, topic: str, *payloads: Any) -> None:
        """At once: the scheduler takes them in with one commit."""
        connection = await self.bus.sender.link.ready()
        bodies = [
            one if isinstance(one, bytes) else json.dumps({"job": "Tells", **one}).encode()
            for one in payloads
        ]
        assert set(await connection.publish_many([(topic, body) for body in bodies])) == {0}

    async def failed(self) -> dict[str, dict[str, Any]]:
        await self.acknowledged()
        found = await self.bus.requests.call("failed.list")
        return {one["id"]: one for one in found}

    async def acknowledged(self) -> None:
        async with asyncio.timeout(TIMEOUT):
            while list(self.broker.holds(SCHEDULER_CLIENT_ID)):
                await self.bus.requests.call("sizes")


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    broker, db = MemoryBroker(), tmp_path / "routeq.db"
    transport = MemoryTransport(broker)
    async with (
        Bus(settings=Settings(), transport=transport) as bus,
        running(Scheduler(transport, SchedulerOptions(db=db))),
    ):
        yield Bed(bus, broker, db)


async def test_a_job_that_cannot_be_stored_is_kept_and_the_others_are_rows(bed: Bed) -> None:
    bed.inject(POISON)
    one, other = {"id": "one"}, {"id": "other", "options": {"unique_key": "u"}}
    special = {"id": "poison-2", "options": {"unique_key": "v"}}
    await bed.send("$queue/default", one, {"id": "poison-1"}, special, other)
    failed = await bed.failed()
    assert failed.keys() == {"poison-1-refused", "poison-2-refused"}
    for record in failed.values():
        assert record["reason"] == "internal error"
        assert "injected" in record["error"]
    for job in ("one", "other"):
        assert (await bed.bus.requests.call("status", id=job))["state"] == "parked"
    # Once its cause is gone, it runs as any other failed job.
    bed.inject("DROP TRIGGER poison;")
    answer = await bed.bus.requests.call("failed.retry", ids=["poison-1-refused"])
    assert answer["retried"] == ["poison-1-refused"]
    assert (await bed.bus.sizes.all())["default"].parked == 3


async def test_a_batch_goes_on_without_the_job_that_cannot_be_stored(bed: Bed) -> None:
    bed.inject(POISON)
    parts = [{"id": f"{name}", "options": {"batch": "b"}} for name in ("p1", "poison", "p2")]
    envelopes = [json.dumps({"job": "Tells", **part}) for part in parts]
    begun = {"id": "b", "name": "n", "open": False}
    body = json.dumps({"args": envelopes, "batch": begun}).encode()
    await bed.send("routeq/store/default", body)
    assert (await bed.failed()).keys() == {"poison-refused"}
    shown = await bed.bus.requests.call("batch.show", id="b")
    assert (shown["total"], shown["pending"], shown["open"]) == (2, 2, False)


async def test_a_message_that_cannot_be_handled_is_kept_with_its_bytes(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = decode_outcomes

    def injected(payload: bytes) -> Any:
        if payload == b"poison":
            raise ZeroDivisionError("injected")
        return real(payload)

    monkeypatch.setattr(message_reader, "decode_outcomes", injected)
    with caplog.at_level(logging.ERROR):
        await bed.send("routeq/done", *[b"poison"] * 5)
        await bed.send("$queue/default", {"id": "one"})
        failed = await bed.failed()
    assert [one["reason"] for one in failed.values()] == ["internal error"] * 5
    assert all("ZeroDivisionError" in one["error"] for one in failed.values())
    shown = await bed.bus.requests.call("failed.show", id=next(iter(failed)))
    assert shown["envelope"] == b"poison"
    assert (await bed.bus.requests.call("status", id="one"))["state"] == "parked"
    tracebacks = [record for record in caplog.records if record.exc_info]
    assert len(tracebacks) == 1, "one traceback for each kind of error"


async def test_what_cannot_be_handled_on_a_control_topic_is_ignored(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def injected(*args: Any, **more: Any) -> None:
        raise ZeroDivisionError("injected")

    with monkeypatch.context() as patched, caplog.at_level(logging.ERROR):
        patched.setattr(Fleet, "fold", injected)
        await bed.send("routeq/workers/x", b"{}", b"{}")
        await bed.send("$queue/default", {"id": "one"})
        await bed.acknowledged()
    assert (await bed.bus.requests.call("status", id="one"))["state"] == "parked"
    assert caplog.text.count("unexpected error in a message topic='routeq/workers/x'") == 1


async def test_a_scheduler_that_was_taken_over_acknowledges_nothing_that_it_did_not_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = MemoryBroker()
    transport = MemoryTransport(broker)
    service = Scheduler(transport, SchedulerOptions(db=tmp_path / "routeq.db"))
    task = asyncio.create_task(service.run())
    await service.online.wait()

    async def taken_over(*args: Any, **kwargs: Any) -> None:
        raise StaleDatabase("another scheduler has taken over")

    monkeypatch.setattr(Store, "take", taken_over)
    monkeypatch.setattr(Store, "fail", taken_over)
    async with Bus(settings=Settings(), transport=transport) as bus, asyncio.timeout(TIMEOUT):
        connection = await bus.sender.link.ready()
        await connection.publish("routeq/schedule", b'{"job": "Tells", "delay": 60}')
        with pytest.raises(StaleDatabase):
            await task
    assert [one for one in broker.holds(SCHEDULER_CLIENT_ID) if b"Tells" in one]
