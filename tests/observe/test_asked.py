"""Jobs that are in no database are asked of the workers that hold them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routeq_mqtt import Bus, RequestFailed
from routeq_mqtt.bus.features.handles import JobStatus
from routeq_mqtt.cli.manage import outcome
from routeq_mqtt.scheduler.control import inquiry
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.wire.observe.asks import JobsShow
from routeq_mqtt.wire.observe.held import LARGEST, HeldAnswer
from tests.dashboard.test_api import Page
from tests.observe.rig import Obstructed, Rig, gates, rig

SEALING = f"e1:{base64.b64encode(bytes([1]) * 32).decode()}"


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[tuple[Rig, Bus]]:
    async with rig(tmp_path) as made:
        gates["g"] = asyncio.Event()
        yield made


async def test_what_runs_and_what_waits_is_shown_with_its_arguments(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    worker = await one.start_worker("default", concurrency=1)
    first = await bus.dispatch(Obstructed(key="g"), headers={"trace": "abc"})
    second = await bus.dispatch(Obstructed(key="g"))
    while (running := await bus.requests.ask(JobsShow(id=first.id))).state != "running":
        pass
    waiting = await bus.requests.ask(JobsShow(id=second.id))
    assert (running.job, running.queue, running.data) == ("Obstructed", "default", {"key": "g"})
    assert running.headers["trace"] == "abc"
    assert running.history[-1]["attempt"] == 1
    assert (waiting.state, waiting.data, waiting.history) == ("waiting", {"key": "g"}, [])
    assert running.worker == waiting.worker is not None
    # The command `status`: the scheduler alone has never seen these.
    assert (await bus.status(second.id)).state == "unknown"
    told = [await outcome.at_a_worker(bus, job.id) for job in (first, second)]
    assert told == [
        JobStatus(state="running", attempt=1, worker=running.worker),
        JobStatus(state="waiting", attempt=1, worker=running.worker),
    ]
    assert await outcome.at_a_worker(bus, "none") is None
    gates["g"].set()
    await one.stop(worker)


async def test_what_is_sealed_stays_sealed(bed: tuple[Rig, Bus]) -> None:
    one, _ = bed
    settings = Settings(encryption_keys=SEALING)
    await one.start_worker("default", guard=settings.guard())
    async with Bus(settings=settings, transport=one.transport) as bus:
        job = await bus.dispatch(Obstructed(key="g"))
        while (shown := await bus.requests.ask(JobsShow(id=job.id))).state != "running":
            pass
    assert (shown.sealed, shown.data, shown.job) == (True, None, "Obstructed")
    gates["g"].set()


async def test_the_dashboard_redacts_what_a_worker_answers(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await one.start_worker("default")
    job = await bus.dispatch(Obstructed(key="g"))
    page = Page(bus, redact=["key"])
    while (shown := (await page.ask("jobs.show", id=job.id)).json())["state"] != "running":
        pass
    assert shown["data"] == {"key": "[redacted]"}
    gates["g"].set()


async def test_nobody_answers_for_a_job_that_nobody_holds(
    bed: tuple[Rig, Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, bus = bed
    monkeypatch.setattr(inquiry, "_WITHIN", 0.05)
    await one.start_worker("default")
    with pytest.raises(RequestFailed, match="knows no job 'x'"):
        await bus.requests.ask(JobsShow(id="x"))


async def test_a_message_that_is_too_large_is_not_sent_along(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    gates["g" * LARGEST] = gates["g"]
    await one.start_worker("default")
    job = await bus.dispatch(Obstructed(key="g" * LARGEST))
    while (shown := await bus.requests.ask(JobsShow(id=job.id))).state != "running":
        pass
    assert (shown.data, shown.worker is not None) == (None, True)
    gates["g"].set()


async def test_an_answer_that_nobody_asked_for_is_ignored(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    stranger = await one.transport.connect(ConnectOptions("stranger"), lambda message: None)
    answer = HeldAnswer(id="1", job="x", worker="evil", queue="default", running=True)
    for payload in (answer.encode(), b"\xc1", b"{}"):
        await stranger.publish("routeq/held/evil", payload)
    with pytest.raises(RequestFailed, match="knows no job"):
        await bus.requests.ask(JobsShow(id="x"))
    await stranger.close()
