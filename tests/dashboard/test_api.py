"""What the page asks for and orders, on a bus in memory."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from routeq_mqtt import Bus
from routeq_mqtt.dashboard import User, dashboard
from routeq_mqtt.wire.observe.asks import AuditList, FailedCounted
from tests.observe.rig import Rig, Tallied, rig

SAME = {"sec-fetch-site": "same-origin"}


def by_header(request: Request) -> User | None:
    return User(request.headers["x-user"], may_act=request.headers["x-user"] == "ada")


class Page:
    """A dashboard of a bus, as a page asks it."""

    def __init__(self, bus: Bus, user: str = "ada", **options: Any) -> None:
        app = dashboard(bus, access=by_header, **options)
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://board", headers={"x-user": user}
        )

    async def ask(self, method: str, **args: Any) -> httpx.Response:
        return await self.http.get(f"/api/ask/{method}", params={"args": json.dumps(args)})

    async def act(self, method: str, **args: Any) -> httpx.Response:
        return await self.http.post(f"/api/act/{method}", json=args, headers=SAME)

    async def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get("/api/state")).json()["set"]
        return found


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[tuple[Rig, Bus]]:
    async with rig(tmp_path) as made:
        yield made


async def failed(one: Rig, bus: Bus, *keys: str) -> None:
    worker = await one.start_worker()
    for key in keys:
        await bus.dispatch(Tallied(key=key, outcome="fails"))
    while (await bus.requests.ask(FailedCounted())).count < len(keys):
        pass
    await one.stop(worker)


async def test_the_state_has_queues_workers_and_the_scheduler(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await one.start_worker("mail")
    await bus.dispatch(Tallied(key="a"), queue="mail", delay=3600, confirm="stored")
    page = Page(bus)
    while (await page.facts()).get("queue/mail", {}).get("delayed") != 1:
        await one.observers.numbers.publish()
    facts = await page.facts()
    assert facts["broker"]["online"] is True
    assert facts["scheduler"]["state"] == "online"
    [worker] = [fact for key, fact in facts.items() if key.startswith("worker/")]
    assert "mail" in worker["queues"]


async def test_records_are_counted_then_retried_at_a_rate_and_written_down(
    bed: tuple[Rig, Bus], caplog: pytest.LogCaptureFixture
) -> None:
    one, bus = bed
    await failed(one, bus, "a", "b")
    page = Page(bus)
    [group] = (await page.ask("failed.groups")).json()
    assert (group["count"], group["exception"]) == (2, "ValueError")
    kind = {key: group[key] for key in ("queue", "job", "reason", "exception")}
    rows = (await page.ask("jobs.list", state="failed", **kind)).json()["rows"]
    assert "no <b>" in rows[0]["error"]
    found = (await page.ask("failed.count", **kind)).json()
    assert found["count"] == 2
    with caplog.at_level(logging.INFO, "routeq_mqtt.dashboard.audit"):
        reply = await page.act(
            "failed.bulk", action="forget", until=found["until"], rate=100, **kind
        )
    assert reply.json()["total"] == 2
    while (await bus.requests.ask(FailedCounted())).count:
        pass
    assert 'action=failed.bulk user="ada"' in caplog.text
    assert 'outcome="done"' in caplog.text
    lines = (await bus.requests.ask(AuditList())).rows
    assert "dashboard: ada" in {line.by for line in lines}


async def test_one_job_is_shown_with_its_attempts(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await failed(one, bus, "a")
    page = Page(bus)
    [row] = (await page.ask("jobs.list", state="failed")).json()["rows"]
    job = (await page.ask("jobs.show", id=row["id"])).json()
    assert job["state"] == "failed"
    assert len(job["history"]) == 2
    assert "ValueError" in job["history"][-1]["traceback"]
    missing = await page.ask("jobs.show", id="nowhere")
    assert missing.status_code == 422
    assert "knows no job 'nowhere'" in missing.json()["error"]


async def test_a_queue_is_paused_by_who_may_and_by_no_other(
    bed: tuple[Rig, Bus], caplog: pytest.LogCaptureFixture
) -> None:
    _, bus = bed
    refused = await Page(bus, "bob").act("queue.pause", queue="mail")
    assert refused.status_code == 403
    assert await bus.requests.call("orders") == []
    assert (await Page(bus).act("queue.pause", queue="mail")).status_code == 200
    assert [order["name"] for order in await bus.requests.call("orders")] == ["mail"]
    bad = await Page(bus).act("queue.limit", queue="mail", rate=[0, 1])
    assert bad.status_code == 400
    assert "rate" in bad.json()["error"]


async def test_prometheus_gets_the_numbers_of_the_bus(bed: tuple[Rig, Bus]) -> None:
    answer = await Page(bed[1]).http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "\nrouteq_scheduler_up 1\n" in answer.text


async def test_a_secret_is_neither_shown_nor_searched(bed: tuple[Rig, Bus]) -> None:
    _, bus = bed
    await bus.dispatch(Tallied(key="s3cret"), delay=3600, confirm="stored")
    args: dict[str, Any] = {"state": "delayed", "with_data": True}
    open_, closed = Page(bus), Page(bus, redact=["key"])
    assert (await open_.ask("jobs.list", **args)).json()["rows"][0]["data"]["key"] == "s3cret"
    shown = await closed.ask("jobs.list", **args)
    assert "s3cret" not in shown.text
    assert shown.json()["rows"][0]["data"]["key"] == "[redacted]"
    guess = await closed.ask("jobs.list", **args, where={"data.key": "s3cret"})
    assert guess.status_code == 400
    assert "cannot be searched" in guess.json()["error"]


async def test_hidden_data_are_neither_shown_nor_searched(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await failed(one, bus, "s3cret")
    page = Page(bus, hide_data=True)
    [row] = (await page.ask("jobs.list", state="failed", with_data=True)).json()["rows"]
    whole = await page.ask("jobs.show", id=row["id"])
    assert row["error"].startswith("ValueError")
    assert "s3cret" not in json.dumps(row) + whole.text
    assert (await page.ask("jobs.list", state="failed", text="s3cret")).status_code == 400
    assert (await page.ask("failed.count", text="s3cret")).status_code == 400


async def test_without_a_scheduler_the_answer_says_what_to_start(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    assert one.scheduler is not None
    await one.stop(one.scheduler)
    page = Page(bus)
    answer = await page.ask("orders")
    assert answer.status_code == 503
    assert "routeq-mqtt scheduler" in answer.json()["error"]
    assert (await page.facts())["scheduler"]["state"] == "stopped"


@pytest.mark.parametrize(
    "args", ["{", "7", "[]", "[" * 5_000, '{"state": 7}', "x" * 9_000, '{"state":"gone"}']
)
async def test_questions_that_are_none_are_refused(bed: tuple[Rig, Bus], args: str) -> None:
    answer = await Page(bed[1]).http.get("/api/ask/jobs.list", params={"args": args})
    assert answer.status_code == 400
    assert answer.json()["error"]
