"""Two buses on one broker at work at once: neither sees the other's jobs, results or orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routeq_mqtt import Bus, Job
from routeq_mqtt.doctor.checks import examine
from routeq_mqtt.wire.envelopes.envelope import Envelope
from tests.cluster.beside import OTHER, OWN, Beside
from tests.cluster.jobs import Flaky, Hopeless, Report
from tests.cluster.recorder import TIMEOUT, Recorder
from tests.conftest import need_mosquitto

pytestmark = pytest.mark.slow


@pytest.fixture(params=["mosquitto", "embedded"])
async def beside(
    request: pytest.FixtureRequest, tmp_path: Path, recorder: Recorder
) -> AsyncIterator[Beside]:
    if request.param == "mosquitto":
        need_mosquitto()
    one = Beside(request.param, tmp_path, recorder)
    await one.start_broker()
    try:
        yield one
    finally:
        await one.close()


class WhichBus(Job):
    result_ttl = 60
    name: str

    async def handle(self) -> str:
        return self.name


async def test_two_buses_at_work_at_once_do_not_see_each_other(beside: Beside) -> None:
    await beside.serve(OWN)
    async with beside.bus_of(OWN) as own, beside.bus_of(OTHER) as other:
        await own.pause("slow")
        await asyncio.gather(_all_kinds_of_jobs(beside, own), _all_kinds_of_jobs(beside, other))
        await beside.recorder.wait(lambda: beside.recorder.ran()[f"{OTHER} slow"] == 1)
        assert beside.recorder.ran()[f"{OWN} slow"] == 0
        paused = [await bus.requests.call("orders") for bus in (own, other)]
        await own.resume("slow")
        await beside.recorder.wait(lambda: beside.recorder.ran()[f"{OWN} slow"] == 1)
        for bus, name in ((own, OWN), (other, OTHER)):
            [device] = await bus.devices()
            assert device.name == "pump"
            await beside.failed_records(bus, 1)
            assert len(await bus.requests.call("failed.list")) == 1, name
        await beside.recorder.wait(lambda: beside.recorder.ran()["flaky"] == 2)
    assert paused[0] != paused[1]
    ran = beside.recorder.ran()
    for name in (OWN, OTHER):
        counts = [ran[f"{name} {what}"] for what in ("now", "later", "slow", "every pump")]
        assert (counts, ran[f"{name} tick"] >= 1) == ([1, 1, 1, 1], True)
    assert len(beside.recorder.named("tried")) == 2 * 3


async def _all_kinds_of_jobs(beside: Beside, bus: Bus) -> None:
    """Express, delayed, retried, failed, with a result, of a schedule, and to every device."""
    name = bus.settings.namespace
    await beside.ask_until(bus, "device.list", lambda found: len(found) == 1)
    envelope = Envelope(id=None, job="Report", data={"key": f"{name} tick"}).encode()
    announced = [{"name": "tick", "every": 1.0, "envelope": envelope}]
    await bus.requests.call("schedule.announce", schedules=announced)
    await bus.requests.call("schedule.run", name="tick")
    await bus.dispatch(Report(key=f"{name} now"))
    await bus.later(0.1, Report(key=f"{name} later"))
    await bus.later(0.1, Report(key=f"{name} slow"), queue="slow")
    await bus.dispatch(Flaky())
    await bus.dispatch(Hopeless())
    handle = await bus.dispatch(WhichBus(name=name))
    assert await handle.result(timeout=TIMEOUT) == name
    await bus.broadcast(Report(key=f"{name} every pump"))
    wanted = {f"{name} {what}" for what in ("now", "later", "every pump", "tick")}
    await beside.recorder.wait(lambda: wanted <= beside.recorder.ran().keys())


async def test_doctor_lists_the_other_buses(beside: Beside) -> None:
    found = {check.name: check for check in await examine(beside.settings_of(OWN))}
    assert found["other buses"].found == f"{OTHER}: scheduler online, workers online: 1"
    found = {check.name: check for check in await examine(beside.settings_of(OTHER))}
    assert found["other buses"].found == "none is seen on this broker"
