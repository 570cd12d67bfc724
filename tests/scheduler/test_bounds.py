"""Bounds of what the scheduler answers, keeps ordered and is told of devices."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any, cast

import pytest

from routeq_mqtt import Fail, Job, RequestFailed
from routeq_mqtt.doctor import checks
from routeq_mqtt.doctor.patient import Patient
from routeq_mqtt.presence.status import WorkerStatus
from routeq_mqtt.scheduler.features.devices import Devices
from routeq_mqtt.scheduler.store import orders
from routeq_mqtt.scheduler.store.orders import OrderBook
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import BrokerOptions, MemoryBroker, MemoryBus
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.worker.options import WorkerOptions
from tests.cluster.recorder import TIMEOUT

LIMIT = 20_000
FAILED: asyncio.Queue[str]


class Wordy(Job):
    async def handle(self) -> None:
        raise Fail("x" * 900)


class Hurried(Job):
    key: str

    async def handle(self) -> None:
        raise AssertionError("it has expired")

    async def failed(self, error: BaseException) -> None:
        FAILED.put_nowait(f"{self.key}: {type(error).__name__}: {error}")


@pytest.mark.parametrize("mqtt5", [True, False])
async def test_an_answer_that_is_too_large_becomes_an_error_and_ends_no_connection_again(
    *, mqtt5: bool
) -> None:
    options = BrokerOptions(mqtt5=mqtt5, max_packet=LIMIT, tells_max_packet=False)
    async with MemoryBus("default", broker=MemoryBroker(options)) as bus:
        for _ in range(30):
            await bus.dispatch(Wordy())
        async with asyncio.timeout(8):
            while (await bus.requests.call("sizes"))["default"]["failed"] < 30:
                pass
            with pytest.raises(RequestFailed, match="larger than the broker takes"):
                await bus.requests.call("failed.list")
            around = bus.sender.surroundings
            before = around.scheduler_changed.fired
            for _ in range(5):
                with pytest.raises(RequestFailed, match="larger than the broker takes"):
                    await bus.requests.call("failed.list")
            assert len(await bus.requests.call("failed.list", limit=5)) == 5
        assert around.scheduler_changed.fired == before, "it was disconnected, and came back"


async def test_failed_is_called_for_a_job_that_has_expired_at_its_worker() -> None:
    global FAILED  # noqa: PLW0603 - a queue belongs to one loop
    FAILED = asyncio.Queue()
    async with MemoryBus("default") as bus:
        connection = await bus.sender.link.ready()
        late = Envelope(id="late", job="Hurried", data={"key": "late"}, expires_at=1.0)
        await connection.publish("queue/default", late.encode())
        async with asyncio.timeout(TIMEOUT):
            assert await FAILED.get() == "late: TimeoutError: expired at 1970-01-01T00:00:01Z"
            while not (records := await bus.requests.call("failed.list")):
                pass
    assert [(one["id"], one["reason"]) for one in records] == [("late", "expired")]


async def test_failed_is_not_called_for_a_job_that_expires_in_the_scheduler() -> None:
    global FAILED  # noqa: PLW0603 - a queue belongs to one loop
    FAILED = asyncio.Queue()
    async with MemoryBus("default") as bus:
        soon = time.time() + 0.05
        early = await bus.dispatch(Hurried(key="early"), delay=3600, expires_at=soon)
        async with asyncio.timeout(TIMEOUT):
            while not (records := await bus.requests.call("failed.list")):
                pass
            # Had it been called for this one, its words would come first.
            connection = await bus.sender.link.ready()
            late = Envelope(id="late", job="Hurried", data={"key": "late"}, expires_at=1.0)
            await connection.publish("queue/default", late.encode())
            assert (await FAILED.get()).startswith("late")
    assert [(one["id"], one["reason"]) for one in records] == [(str(early), "expired")]


def test_two_workers_of_one_name_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    devices = Devices(cast("Any", None), cast("Any", None))

    def heard(*workers: str, name: str = "pump") -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            for worker in workers:
                devices.heard(WorkerStatus(id=worker, state="online", name=name))
        return [record.getMessage() for record in caplog.records]

    assert heard("a", "a", "b", "b", "c") == [], "a device that was started again"
    [line] = heard("b", "c", "b")
    assert "name=pump workers=b,c" in line
    assert "a --name of its own" in line
    assert heard("c", "b", "c") == []
    assert heard("d", "e", name="other") == []


async def test_doctor_names_workers_of_one_name() -> None:
    async with MemoryBus() as bus:
        for _ in range(2):
            await bus.worker(options=WorkerOptions(name="pump"))
        found = await checks.workers(Patient(bus, Settings()))
    [one] = [check for check in found if check.name == "names"]
    assert one.verdict == "warning"
    assert "pump" in one.found


async def test_no_more_than_so_many_jobs_stay_cancelled_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "MOST_CANCELS", 3)
    store = await Store.open(tmp_path / "routeq.db")
    try:
        book = OrderBook(store.database)
        for number in range(6):
            await book.cancel([f"job {number}"], float(number))
        assert await book.outlived(10.0) == ["job 0", "job 1", "job 2"]
        week = 7 * 86_400.0
        assert set(await book.outlived(week + 4.5)) == {f"job {number}" for number in range(5)}
    finally:
        await store.close()
