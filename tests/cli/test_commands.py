"""The command line as a person or a script uses it, on every broker."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from tests.bed.bed import Bed, free_port
from tests.bed.jobs import Gated, GivesUp
from tests.bed.process import Process
from tests.bed.recorder import TIMEOUT


async def said(bed: Bed, *arguments: str, code: int = 0) -> str:
    """What a command prints when it ends with this exit code."""
    found, output = await bed.cli(*arguments)
    assert found == code, output
    assert code == 0 or "Traceback" not in output
    return output


async def answered(bed: Bed, *arguments: str, code: int = 0) -> Any:
    return json.loads(await said(bed, *arguments, "--json", code=code))


async def test_dispatch_sends_values_as_json_or_as_text(bed: Bed) -> None:
    await bed.scheduler()
    await bed.worker()
    plain = await said(bed, "dispatch", "Report", "key=a b=c")
    assert re.fullmatch(r"[0-9a-f]{32}", plain)
    answer = await answered(bed, "dispatch", "Typed", 'values={"n": 3}', "--delay", "0.1")
    assert answer == {"id": answer["id"], "job": "Typed", "queue": "default"}
    assert await said(bed, "dispatch", "Report", "key=kept", "--stored")
    await bed.recorder.count("ran", 3)
    assert set(bed.recorder.ran()) == {"a b=c", "[('n', 3)]", "kept"}


async def test_failed_records_from_list_to_flush(bed: Bed) -> None:
    await bed.scheduler()
    assert await answered(bed, "failed", "list") == []
    assert "no failed records" in await said(bed, "failed", "list")
    await bed.worker("default,other")
    async with bed.bus() as bus:
        ids = [await bus.dispatch(GivesUp()), await bus.dispatch(GivesUp(), queue="other")]
        await bed.failed_records(bus, 2)
    listed = await answered(bed, "failed", "list")
    assert {record["id"] for record in listed} == set(ids)
    [other] = await answered(bed, "failed", "list", "--queue", "other")
    assert (other["id"], other["reason"]) == (ids[1], "failed on purpose")
    table = await said(bed, "failed", "list")
    assert all(job_id in table for job_id in ids)

    shown = await answered(bed, "failed", "show", ids[0])
    assert (shown["job"], shown["queue"], shown["data"]) == ("GivesUp", "default", {})
    page = await said(bed, "failed", "show", ids[0])
    assert "failed on purpose: Fail: no such customer" in page
    assert "attempt 1 at" in page

    answer = await answered(bed, "failed", "retry", ids[0])
    assert answer == {"retried": [ids[0]], "skipped": []}
    async with bed.bus() as bus:
        await bed.failed_records(bus, 2)  # it fails again
    assert await answered(bed, "failed", "forget", ids[0]) == {"forgotten": 1}
    assert await said(bed, "failed", "flush", "--queue", "other") == "1 failed record forgotten"
    assert await answered(bed, "failed", "list") == []


async def test_what_a_job_says_is_shown_as_it_is(bed: Bed) -> None:
    await bed.scheduler()
    await bed.worker("default", "--max-tries", "1")
    async with bed.bus() as bus:
        job_id = await bus.dispatch_named("Report", {"key": "x", "[/red]": 1})
        await bed.failed_records(bus, 1)
    for command in (["list"], ["show", job_id]):
        assert "has no field '[/red]'" in await said(bed, "failed", *command)


async def test_an_id_that_is_none_and_choices_that_are_none(bed: Bed) -> None:
    await bed.scheduler()
    assert "no failed record has the id 'nonesuch'" in await said(
        bed, "failed", "show", "nonesuch", code=1
    )
    assert "no failed record" in await said(bed, "failed", "retry", "nonesuch", code=1)
    await said(bed, "failed", "forget", "nonesuch", code=1)
    assert "name ids, or say --all" in await said(bed, "failed", "retry", code=2)
    assert "name ids, or say --all" in await said(bed, "failed", "forget", "x", "--all", code=2)
    assert await answered(bed, "failed", "flush") == {"forgotten": 0}


async def test_queues_and_workers_show_what_goes_on(bed: Bed) -> None:
    await bed.scheduler()
    worker = await bed.worker("default", "--concurrency", "1", "--name", "press")
    async with bed.bus() as bus:
        await bus.later(3600, Gated(key="x", gate="g"))
        await bus.dispatch(Gated(key="1", gate="g"))
        await bus.dispatch(Gated(key="2", gate="g"))
        await bed.recorder.count("waits", 1)
    sizes: dict[str, int] = {}
    async with asyncio.timeout(TIMEOUT):
        # A full worker gives the second job back: it waits there, is on its way, or is parked.
        while (sizes.get("waiting", 0) + sizes.get("parked", 0), sizes.get("total")) != (1, 3):
            sizes = (await answered(bed, "queues")).get("default", {})
    assert (sizes["delayed"], sizes["running"]) == (1, 1), sizes
    assert "default" in await said(bed, "queues")
    [member] = await answered(bed, "workers")
    assert (member["name"], member["state"], member["pid"]) == ("press", "online", worker.pid)
    assert "press" in await said(bed, "workers")


async def test_empty_tables_say_so(bed: Bed) -> None:
    await bed.scheduler()
    assert await answered(bed, "workers") == []
    assert "start one: routeq-mqtt worker" in await said(bed, "workers")
    assert await answered(bed, "queues") == {}
    assert "no queue" in await said(bed, "queues")


async def test_doctor_finds_a_healthy_bus_healthy(bed: Bed) -> None:
    await bed.scheduler()
    await bed.worker()
    checks = await answered(bed, "doctor")
    assert {check["verdict"] for check in checks} == {"ok"}, checks
    names = {"connection", "delivery", "scheduler", "workers", "a job's way", "message limit"}
    assert names <= {check["name"] for check in checks}
    assert "ok" in await said(bed, "doctor", "--strict")


async def test_doctor_finds_what_is_missing(bed: Bed) -> None:
    await bed.worker()
    found = {
        check["name"]: check
        for check in await answered(bed, "doctor", code=0 if bed.shares_queue else 1)
    }
    assert found["scheduler"]["verdict"] == ("warning" if bed.shares_queue else "failed")
    assert found["scheduler"]["mend"] == "start one: routeq-mqtt scheduler"


async def test_without_a_scheduler_there_is_one_clear_line(bed: Bed) -> None:
    for command in (["failed", "list"], ["dispatch", "Report", "--delay", "5"]):
        output = await said(bed, *command, code=5)
        assert output.startswith("error: no scheduler has run on this bus")
        assert output.endswith("start one: routeq-mqtt scheduler")
    if not bed.shares_queue:
        output = await said(bed, "dispatch", "Report", "key=x", code=5)
        assert output.startswith("error: nobody would hold a job for queue 'default'")


async def test_where_the_broker_is_down_there_is_one_clear_line(bed: Bed) -> None:
    url = f"mqtt://user:secret@127.0.0.1:{free_port()}"
    for command in (["queues"], ["workers"], ["failed", "list"], ["dispatch", "X"]):
        process = await Process.cli(
            "cli", *command, env=bed.env | {"ROUTEQ_URL": url, "ROUTEQ_TIMEOUT": "0.5"}
        )
        assert await process.ended() == 3, process.output
        [line] = process.lines
        assert line.startswith("error: cannot reach a broker at mqtt://127.0.0.1:"), line
        assert line.endswith("is it running?")
        assert "secret" not in line
