"""The command line as a person or a script uses it, on every broker."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import date
from typing import Any
from uuid import UUID

from tests.cluster.cluster import Cluster, free_port
from tests.cluster.jobs import Gated, GivesUp
from tests.cluster.process import Process
from tests.cluster.recorder import TIMEOUT


async def said(cluster: Cluster, *arguments: str, code: int = 0) -> str:
    """What a command prints when it ends with this exit code."""
    found, output = await cluster.cli(*arguments)
    assert found == code, output
    assert code == 0 or "Traceback" not in output
    return output


async def answered(cluster: Cluster, *arguments: str, code: int = 0) -> Any:
    return json.loads(await said(cluster, *arguments, "--json", code=code))


async def test_dispatch_sends_values_as_json_or_as_text(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    plain = await said(cluster, "dispatch", "Report", "key=a b=c")
    assert re.fullmatch(r"[0-9a-f]{32}", plain)
    answer = await answered(cluster, "dispatch", "Typed", 'values={"n": 3}', "--delay", "0.1")
    where = {"job": "Typed", "queue": "default", "has_worker": True}
    assert answer == {"id": answer["id"]} | where
    assert await said(cluster, "dispatch", "Report", "key=kept", "--stored")
    await cluster.recorder.count("ran", 3)
    assert set(cluster.recorder.ran()) == {"a b=c", "[('n', 3)]", "kept"}


async def test_failed_records_from_list_to_flush(cluster: Cluster) -> None:
    await cluster.scheduler()
    assert await answered(cluster, "failed", "list") == []
    assert "no failed records" in await said(cluster, "failed", "list")
    await cluster.worker("default,other")
    async with cluster.bus() as bus:
        sent = [await bus.dispatch(GivesUp()), await bus.dispatch(GivesUp(), queue="other")]
        ids = [one.id for one in sent]
        await cluster.failed_records(bus, 2)
    listed = await answered(cluster, "failed", "list")
    assert {record["id"] for record in listed} == set(ids)
    [other] = await answered(cluster, "failed", "list", "--queue", "other")
    assert (other["id"], other["reason"]) == (ids[1], "failed on purpose")
    table = await said(cluster, "failed", "list")
    assert all(job_id in table for job_id in ids)

    shown = await answered(cluster, "failed", "show", ids[0])
    assert (shown["job"], shown["queue"], shown["data"]) == ("GivesUp", "default", {})
    page = await said(cluster, "failed", "show", ids[0])
    assert "failed on purpose: Fail: no such customer" in page
    assert "attempt 1 at" in page

    answer = await answered(cluster, "failed", "retry", ids[0])
    assert answer == {"retried": [ids[0]], "skipped": []}
    async with cluster.bus() as bus:
        await cluster.failed_records(bus, 2)  # it fails again
    assert await answered(cluster, "failed", "forget", ids[0]) == {"forgotten": 1}
    assert await said(cluster, "failed", "flush", "--queue", "other") == "1 failed record forgotten"
    assert await answered(cluster, "failed", "list") == []


async def test_what_a_job_says_is_shown_as_it_is(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--max-tries", "1")
    async with cluster.bus() as bus:
        job_id = (await bus.dispatch_named("Report", {"key": "x", "[/red]": 1})).id
        await cluster.failed_records(bus, 1)
    for command in (["list"], ["show", job_id]):
        assert "has no field '[/red]'" in await said(cluster, "failed", *command)


async def test_a_failed_job_of_any_data_is_shown_as_json(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--max-tries", "1")
    some = UUID(int=5)
    keyed = {some: 1, (1, "a"): 2, b"\xff": 3, date(2026, 1, 2): 4, None: float("inf")}
    async with cluster.bus() as bus:
        job_id = await bus.dispatch_named("Report", {"nonesuch": keyed, "same": {1: 2, "1": b"x"}})
        await cluster.failed_records(bus, 1)
    shown = await answered(cluster, "failed", "show", job_id.id)
    assert shown["data"] == {
        "nonesuch": {str(some): 1, '[1, "a"]': 2, "ff": 3, "2026-01-02": 4, "null": "inf"},
        "same": [[1, 2], ["1", "x"]],
    }


async def test_an_id_that_is_none_and_choices_that_are_none(cluster: Cluster) -> None:
    await cluster.scheduler()
    assert "no failed record has the id 'nonesuch'" in await said(
        cluster, "failed", "show", "nonesuch", code=1
    )
    assert "no failed record" in await said(cluster, "failed", "retry", "nonesuch", code=1)
    await said(cluster, "failed", "forget", "nonesuch", code=1)
    assert "name ids, or say --all" in await said(cluster, "failed", "retry", code=2)
    assert "name ids, or say --all" in await said(cluster, "failed", "forget", "x", "--all", code=2)
    assert await answered(cluster, "failed", "flush") == {"forgotten": 0}


async def test_queues_and_workers_show_what_goes_on(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await cluster.worker("default", "--concurrency", "1", "--name", "press")
    async with cluster.bus() as bus:
        await bus.later(3600, Gated(key="x", gate="g"))
        await bus.dispatch(Gated(key="1", gate="g"))
        await bus.dispatch(Gated(key="2", gate="g"))
        await cluster.recorder.count("waits", 1)
    sizes: dict[str, int] = {}
    async with asyncio.timeout(TIMEOUT):
        # A full worker gives the second job back: it waits there, is on its way, or is parked.
        while (sizes.get("waiting", 0) + sizes.get("parked", 0), sizes.get("total")) != (1, 3):
            queues = {one["queue"]: one for one in await answered(cluster, "queues")}
            sizes = queues.get("default", {})
    assert (sizes["delayed"], sizes["running"]) == (1, 1), sizes
    assert "default" in await said(cluster, "queues")
    [member] = await answered(cluster, "workers")
    assert (member["name"], member["state"], member["pid"]) == ("press", "online", worker.pid)
    assert "press" in await said(cluster, "workers")


async def test_empty_tables_say_so(cluster: Cluster) -> None:
    await cluster.scheduler()
    assert await answered(cluster, "workers") == []
    assert "start one: routeq-mqtt worker" in await said(cluster, "workers")
    assert await answered(cluster, "queues") == []
    assert "no queue" in await said(cluster, "queues")


async def test_doctor_finds_a_healthy_bus_healthy(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker()
    checks = await answered(cluster, "doctor")
    assert {check["verdict"] for check in checks} == {"ok"}, checks
    names = {"connection", "delivery", "scheduler", "workers", "a job's way", "message limit"}
    assert names <= {check["name"] for check in checks}
    assert "ok" in await said(cluster, "doctor", "--strict")


async def test_doctor_finds_what_is_missing(cluster: Cluster) -> None:
    await cluster.worker()
    found = {
        check["name"]: check
        for check in await answered(cluster, "doctor", code=0 if cluster.shares_queue else 1)
    }
    assert found["scheduler"]["verdict"] == ("warning" if cluster.shares_queue else "failed")
    assert found["scheduler"]["fix"] == "start one: routeq-mqtt scheduler"


async def test_without_a_scheduler_there_is_one_clear_line(cluster: Cluster) -> None:
    for command in (["failed", "list"], ["dispatch", "Report", "--delay", "5"]):
        output = await said(cluster, *command, code=5)
        assert output.startswith("error: no scheduler has run on this bus")
        assert output.endswith("start one: routeq-mqtt scheduler")
    if not cluster.shares_queue:
        output = await said(cluster, "dispatch", "Report", "key=x", code=5)
        assert output.startswith("error: no consumer for queue 'default'")


async def test_where_the_broker_is_down_there_is_one_clear_line(cluster: Cluster) -> None:
    url = f"mqtt://user:secret@127.0.0.1:{free_port()}"
    for command in (["queues"], ["workers"], ["failed", "list"], ["dispatch", "X"]):
        process = await Process.cli(
            "cli", *command, env=cluster.env | {"ROUTEQ_URL": url, "ROUTEQ_TIMEOUT": "0.5"}
        )
        assert await process.ended() == 3, process.output
        [line] = process.lines
        assert line.startswith("error: cannot reach a broker at mqtt://127.0.0.1:"), line
        assert "is it running? start one: routeq-mqtt up --app MODULE" in line
        assert "secret" not in line
